"""Support tickets by the JSON API: asked, followed, judged, handed over; scopes, and other tenants."""

from uuid import UUID

import httpx

from tests.console.support_parts import answered, principal_of
from tests.console.test_api import bearer, problem_of
from tests.support.console import FakeConsole

TICKETS = "/api/v1/support/tickets"
Routes = tuple[tuple[str, str, dict[str, object] | None], ...]
OF_USERS: Routes = (
    ("GET", "", None),
    ("POST", "/feedback", {"helpful": True}),
    ("POST", "/handoff", None),
    ("POST", "/close", None),
)
OF_THE_DESK: Routes = (
    ("DELETE", "", None),
    ("POST", "/claim", None),
    ("POST", "/release", None),
    ("POST", "/reply", {"text": "x"}),
)
QUESTION = {"question": "How do I clean the filter?", "end_user": "ana"}


async def asked(api: httpx.AsyncClient, headers: dict[str, str], **given: str) -> dict[str, str]:
    response = await api.post(TICKETS, json=QUESTION | given, headers=headers)
    assert response.status_code == 202, response.text
    told: dict[str, str] = response.json()
    return told


async def with_answer(console: FakeConsole, api: httpx.AsyncClient, headers: dict[str, str]) -> str:
    ticket = (await asked(api, headers))["id"]
    who = await principal_of(console, headers["authorization"].removeprefix("Bearer "))
    await answered(console, who, ticket, "Every 30 days [1].")
    return ticket


async def test_a_question_gets_its_ticket_at_once(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "inference")
    response = await api.post(TICKETS, json=QUESTION, headers=headers)
    told = response.json()
    assert (response.status_code, response.headers["retry-after"]) == (202, "1")
    assert response.headers["location"] == f"{TICKETS}/{told['id']}"
    assert (told["state"], told["end_user"], told["subject"]) == ("waiting", "ana", QUESTION["question"])
    assert told["events"] == f"/v1/jobs/job_{told['id'].removeprefix('sup_')}/events"
    assert len(told["token"]) >= 32


async def test_a_ticket_is_polled_for_little(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "inference")
    ticket = (await asked(api, headers))["id"]
    waiting = await api.get(f"{TICKETS}/{ticket}", headers=headers)
    assert (waiting.status_code, waiting.headers["retry-after"]) == (200, "1")
    same = await api.get(f"{TICKETS}/{ticket}", headers=headers | {"if-none-match": waiting.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")

    who = await principal_of(console, headers["authorization"].removeprefix("Bearer "))
    await answered(console, who, ticket, "Every 30 days [1].")
    ready = await api.get(f"{TICKETS}/{ticket}", headers=headers | {"if-none-match": waiting.headers["etag"]})
    told = ready.json()
    assert (ready.status_code, "retry-after" in ready.headers) == (200, False)
    assert (told["state"], told["events"], "token" in told) == ("answered", None, False)
    answer = told["messages"][-1]
    assert (answer["role"], answer["text"], answer["answers"]) == (
        "assistant",
        "Every 30 days [1].",
        told["messages"][0]["id"],
    )
    facts = answer["answer"]
    assert (facts["outcome"], facts["prompt"], facts["model"]) == ("answered", "support@1", "fake-model")
    assert (facts["cost_usd"], facts["confidence"], facts["escalated"]) == ("0.000012", 0.8, False)
    assert facts["citations"][0]["url"] == "/knowledge/file-1?from=3&to=9#cited"


async def test_the_same_key_is_one_ticket(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "inference") | {"idempotency-key": "k1"}
    first, again = await asked(api, headers), await asked(api, headers)
    assert first["id"] == again["id"]
    other = await api.post(TICKETS, json=QUESTION | {"question": "Else?"}, headers=headers)
    assert problem_of(other)["code"] == "idempotency_mismatch"


async def test_feedback_and_the_desk(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "inference")
    ticket = await with_answer(console, api, headers)
    judged = await api.post(f"{TICKETS}/{ticket}/feedback", json={"helpful": False, "comment": "No"}, headers=headers)
    assert (judged.status_code, judged.json()["helpful"]) == (200, False)
    assert judged.json()["messages"][-1]["feedback"]["comment"] == "No"
    assert [(outcome.task, outcome.outcome) for _, outcome in console.outcomes.told] == [(ticket, "failure")]

    handed = (await api.post(f"{TICKETS}/{ticket}/handoff", headers=headers)).json()
    assert (handed["state"], handed["hand_off"]) == ("handed_off", "asked")
    queue = (await api.get("/api/v1/support/queue", headers=headers)).json()
    assert ([each["id"] for each in queue["data"]], queue["waiting"], queue["claimed"]) == ([ticket], 1, 0)

    claimed = await api.post(f"{TICKETS}/{ticket}/claim", json={"agent": "Ana"}, headers=headers)
    assert claimed.json()["claimed_by"] == "Ana"
    taken = await api.post(f"{TICKETS}/{ticket}/claim", json={"agent": "Ben"}, headers=headers)
    assert taken.status_code == 409
    reply = await api.post(f"{TICKETS}/{ticket}/reply", json={"text": "I look.", "agent": "Ana"}, headers=headers)
    assert (reply.json()["state"], reply.json()["messages"][-1]["author"]) == ("replied", "Ana")
    assert (await api.post(f"{TICKETS}/{ticket}/release", headers=headers)).json()["state"] == "handed_off"
    assert (await api.post(f"{TICKETS}/{ticket}/close", headers=headers)).json()["state"] == "closed"
    assert (await api.delete(f"{TICKETS}/{ticket}", headers=headers)).status_code == 204
    assert (await api.get(f"{TICKETS}/{ticket}", headers=headers)).status_code == 404


async def test_lists_are_filtered_and_paged(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "inference")
    ana, ben = await asked(api, headers), await asked(api, headers, end_user="ben")
    of_ana = (await api.get(TICKETS, params={"end_user": "ana"}, headers=headers)).json()
    assert [each["id"] for each in of_ana["data"]] == [ana["id"]]
    assert (await api.get(TICKETS, params={"state": "closed"}, headers=headers)).json()["data"] == []
    first = (await api.get(TICKETS, params={"limit": 1}, headers=headers)).json()
    rest = (await api.get(TICKETS, params={"cursor": first["next_cursor"]}, headers=headers)).json()
    assert {first["data"][0]["id"], rest["data"][0]["id"]} == {ana["id"], ben["id"]}


async def test_a_publishable_key_reaches_its_own_ticket_and_no_desk(
    console: FakeConsole, api: httpx.AsyncClient
) -> None:
    headers = await bearer(console, "support")
    mine, others = await asked(api, headers), await asked(api, headers)
    token = {"tenfold-ticket-token": mine["token"]}
    assert (await api.get(f"{TICKETS}/{mine['id']}", headers=headers | token)).status_code == 200
    for ticket, given in ((others["id"], token), (mine["id"], {})):
        for method, path, body in OF_USERS:
            response = await api.request(method, f"{TICKETS}/{ticket}{path}", json=body, headers=headers | given)
            assert response.status_code == 404, (method, path)
    for method, path, body in OF_THE_DESK:
        response = await api.request(method, f"{TICKETS}/{mine['id']}{path}", json=body, headers=headers | token)
        assert response.status_code == 403, (method, path)
    who = await principal_of(console, headers["authorization"].removeprefix("Bearer "))
    await answered(console, who, mine["id"], "Every 30 days [1].")
    await console.support_rows.claim(who.tenant_id, UUID(mine["id"].removeprefix("sup_")), "Ana")
    told = (await api.get(f"{TICKETS}/{mine['id']}", headers=headers | token)).json()
    facts = told["messages"][-1]["answer"]
    assert (facts["outcome"], len(facts["citations"]), facts["nearest"]) == ("answered", 1, [])
    assert (facts["model"], facts["cost_usd"], facts["confidence"], told["claimed_by"]) == (None, None, None, None)
    for path in (TICKETS, "/api/v1/support/queue"):
        assert (await api.get(path, headers=headers | token)).status_code == 403


async def test_whoever_copied_a_publishable_key_is_slowed_down(console: FakeConsole, api: httpx.AsyncClient) -> None:
    copied, ours = await bearer(console, "support"), await bearer(console, "inference")
    for _ in range(200):
        response = await api.post(TICKETS, json=QUESTION, headers=copied)
        if response.status_code != 202:
            break
    assert (response.status_code, problem_of(response)["code"]) == (429, "rate_limit_exceeded")
    assert int(response.headers["retry-after"]) >= 1
    await asked(api, ours)


async def test_another_tenants_ticket_is_a_missing_one(console: FakeConsole, api: httpx.AsyncClient) -> None:
    ticket = await with_answer(console, api, await bearer(console, "inference"))
    other = await bearer(console, "inference", slug="other")
    for method, path, body in OF_USERS + OF_THE_DESK:
        response = await api.request(method, f"{TICKETS}/{ticket}{path}", json=body, headers=other)
        assert (response.status_code, problem_of(response)["code"]) == (404, "not_found"), (method, path)
    follow = await api.post(TICKETS, json=QUESTION | {"ticket": ticket}, headers=other)
    assert follow.status_code == 404
    assert (await api.get(TICKETS, headers=other)).json()["data"] == []


async def test_what_is_refused(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "inference")
    assert (await api.post(TICKETS, json=QUESTION)).status_code == 401
    for body in ({}, {"question": ""}, QUESTION | {"email": "a@b.c\r\nBcc: x@y.z"}, QUESTION | {"more": 1}):
        assert (await api.post(TICKETS, json=body, headers=headers)).status_code == 400
    assert (await api.post(TICKETS, json=QUESTION, headers=await bearer(console, "usage"))).status_code == 403
