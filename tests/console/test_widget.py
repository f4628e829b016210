"""The widget without a script: which keys open it and where, asking, feedback, hand-off, what visitors do not see."""

import httpx
import pytest

from tenfold.console.slowing import Slow
from tenfold.core.clock import FakeClock
from tenfold.core.errors import RateLimited
from tests.console.browser import Browser, Page
from tests.console.support_parts import answered, principal_of
from tests.support.console import FakeConsole

SITE = "https://shop.example"


async def publishable(browser: Browser, *, name: str = "Help with your pump", origins: str = SITE) -> str:
    """A key for web pages, made on the Keys page."""
    await browser.open("/keys")
    page = await browser.send("/keys/widget", name=name, origins=origins)
    assert browser.status == 200, page.text
    return page.html.split("data-key=&#34;")[1].split("&#34;")[0]


async def send(api: httpx.AsyncClient, page: Page, do: str, **fields: str) -> Page:
    """Fills the form of the frame's page that does this, and sends it."""
    form = next(form for form in page.forms if form.fields.get("do") == do)
    response = await api.post("/widget", data=form.fields | fields, headers={"sec-fetch-site": "same-origin"})
    return Page(response.text)


async def test_a_visitor_asks_reads_judges_and_asks_a_person(
    console: FakeConsole, browser: Browser, api: httpx.AsyncClient
) -> None:
    owner = await principal_of(console, await browser.sign_up())
    key = await publishable(browser, origins=f"{SITE}\nhttp://localhost:3000/")
    opened = await api.get("/widget", params={"key": key})
    policy = opened.headers["content-security-policy"]
    assert policy.endswith(f"frame-ancestors 'self' http://localhost:3000 {SITE}")
    assert "x-frame-options" not in opened.headers
    assert "set-cookie" not in opened.headers
    page = Page(opened.text)
    assert "Help with your pump" in page.text

    page = await send(api, page, "ask", question="How often?", email="eva@example.org")
    assert "Looking into the documents" in page.text
    ticket = next(form for form in page.forms if form.fields["do"] == "look").fields["ticket"]
    await answered(console, owner, ticket, "Every 30 days [1].")
    page = await send(api, page, "look")
    assert "Every 30 days" in page.text
    assert "Clean the filter every 30 days." in page.text
    assert not any(link.startswith("/knowledge") for link in page.links)  # it would ask a visitor to log in
    assert "fake-model" not in page.text

    page = await send(api, page, "judge", helpful="no")
    assert "It did not help." in page.text
    assert [each.outcome for _, each in console.outcomes.told] == ["failure"]
    page = await send(api, page, "hand_off")
    assert "A person of our team will answer here." in page.text
    await console.support.reply(owner, ticket, "Rinse it.", agent="ann@example.org")
    page = await send(api, page, "ask", question="And then?")
    assert "Rinse it." in page.text
    assert "ann@example.org" not in page.text
    thread = await console.support.find(owner, ticket)
    assert (thread.ticket.email, len(thread.messages)) == ("eva@example.org", 4)


async def test_a_ticket_is_reached_by_its_token_only(
    console: FakeConsole, browser: Browser, other_browser: Browser, api: httpx.AsyncClient
) -> None:
    await browser.sign_up("ann")
    key = await publishable(browser)
    page = await send(api, Page((await api.get("/widget", params={"key": key})).text), "ask", question="My secret?")
    fields = next(form for form in page.forms if form.fields["do"] == "look").fields
    await other_browser.sign_up("bob")
    foreign = await publishable(other_browser)

    for wrong in ({"token": ""}, {"token": "x"}, {"key": foreign}):
        for do in ("look", "judge", "hand_off"):
            response = await api.post("/widget", data=fields | wrong | {"do": do})
            assert response.status_code == 404
            assert "secret" not in response.text
        response = await api.post("/widget", data=fields | wrong | {"do": "ask", "question": "x"})
        assert response.status_code == 404
    assert (await api.post("/widget", data=fields)).status_code == 200


async def test_keys_that_open_no_widget(console: FakeConsole, browser: Browser, api: httpx.AsyncClient) -> None:
    secret = await browser.sign_up()
    owner = await principal_of(console, secret)
    without = await console.keys.create_key(owner.tenant_id, "no origins", ["support"])
    revoked = await publishable(browser)
    await console.keys.revoke_key(owner.tenant_id, (await principal_of(console, revoked)).key_id or "")
    await console.keyring.refresh()
    for key, status in ((secret, 403), (without.secret, 403), (revoked, 401), ("", 401), ("tf_x", 401)):
        for response in (
            await api.get("/widget", params={"key": key}),
            await api.post("/widget", data={"key": key, "do": "ask", "question": "x"}),
        ):
            assert response.status_code == status
            assert "frame-ancestors 'none'" in response.headers["content-security-policy"]


async def test_a_publishable_key_may_nothing_else(browser: Browser, api: httpx.AsyncClient) -> None:
    await browser.sign_up()
    key = {"authorization": f"Bearer {await publishable(browser)}"}
    for path in ("/api/v1/keys", "/api/v1/budgets", "/api/v1/jobs", "/api/v1/tickets"):
        assert (await api.get(path, headers=key)).status_code == 403
    assert (await api.post("/api/v1/ask", headers=key, json={"question": "x"})).status_code == 403


@pytest.mark.parametrize("headers", [{"origin": SITE}, {"sec-fetch-site": "cross-site"}])
async def test_forms_of_other_sites_are_refused(
    headers: dict[str, str], browser: Browser, api: httpx.AsyncClient
) -> None:
    await browser.sign_up()
    fields = {"key": await publishable(browser), "do": "ask", "question": "x"}
    assert (await api.post("/widget", data=fields, headers=headers)).status_code == 403


async def test_a_flood_of_questions_is_slowed_down_and_says_so(
    console: FakeConsole, browser: Browser, api: httpx.AsyncClient
) -> None:
    await browser.sign_up()
    key = await publishable(browser)
    page = await send(api, Page((await api.get("/widget", params={"key": key})).text), "ask", question="How often?")
    for number in range(10):
        page = await send(api, page, "ask", question=f"How often, again ({number})?")
    refused = await send(api, page, "ask", question="How often is it?")
    assert "Too many attempts" in refused.text
    assert "How often is it?" in refused.text  # what was written is still there
    other = Page((await api.get("/widget", params={"key": key})).text)
    assert "Too many" not in (await send(api, other, "ask", question="How often?")).text


def test_addresses_tickets_and_keys_are_slowed_down_each_for_itself() -> None:
    clock = FakeClock()
    slow = Slow(clock)
    for number in range(10):
        slow.ask("8.8.8.8", "", f"key {number}")
    with pytest.raises(RateLimited):
        slow.ask("8.8.8.8", "", "another")
    slow.ask("8.8.4.4", "", "another")
    for number in range(60):  # the address of a proxy is everybody's
        slow.ask("10.0.0.1", f"ticket {number}", "one key")
    with pytest.raises(RateLimited):
        slow.ask("10.0.0.2", "", "one key")
    clock.advance(1.0)
    slow.ask("10.0.0.2", "", "one key")


async def test_what_is_wrong_with_a_question_is_said_in_the_frame(browser: Browser, api: httpx.AsyncClient) -> None:
    await browser.sign_up()
    page = Page((await api.get("/widget", params={"key": await publishable(browser)})).text)
    assert "Please ask a question." in (await send(api, page, "ask", question=" ")).text
    page = await send(api, page, "ask", question="How?", email="eva@example.org\nBcc: all@example.org")
    assert "email is one address" in page.text


async def test_a_publishable_key_is_made_with_a_limit_and_refused_without_a_site(
    console: FakeConsole, browser: Browser
) -> None:
    owner = await principal_of(console, await browser.sign_up())
    await publishable(browser)
    (limit,) = (await console.limits.list(owner.tenant_id)).items
    assert (limit.per, limit.measure, limit.window_s) == ("key", "requests", 60)
    for origins in ("", "shop.example", "https://shop.example/path", "https://a; script-src *"):
        await browser.open("/keys")
        page = await browser.send("/keys/widget", name="Help", origins=origins)
        assert browser.status == 400
        assert "origins-error" in page.ids
    page = await browser.open("/keys")
    assert "support in https://shop.example" in page.text


async def test_the_script_may_be_loaded_by_any_site(browser: Browser) -> None:
    headers = (await browser.client.get("/widget.js")).headers
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert headers["content-type"].startswith("text/javascript")
    assert (await browser.client.get("/static/console.js")).headers["cross-origin-resource-policy"] == "same-origin"
