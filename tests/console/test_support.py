"""The support queue without a script: what waits, claiming, replying, closing; other tenants and other people."""

from tests.console.browser import Browser
from tests.console.support_parts import answered, principal_of
from tests.support.console import FakeConsole


async def test_a_ticket_is_handed_off_claimed_replied_and_closed(console: FakeConsole, browser: Browser) -> None:
    who = await principal_of(console, await browser.sign_up("ann"))
    assert "Nobody waits for a person." in (await browser.open("/support")).text
    opened = await console.support.ask(who, "How do I <b>clean</b> the pump?", end_user="u-1", email="eva@example.org")
    ticket = opened.thread.ticket.name
    page = await browser.open(f"/support/{ticket}")
    assert "Looking into the documents" in page.text
    assert 'http-equiv="refresh"' in page.html

    await answered(console, who, ticket, "", hand_off="abstained")
    page = await browser.open("/support")
    assert "1 ticket waits for a person, 0 are in somebody's hands." in page.text
    assert "How do I <b>clean</b> the pump?" in page.text
    page = await browser.open(f"/support/{ticket}")
    assert "The documents do not answer this." in page.text
    assert "Clean the filter every 30 days." in page.text
    assert "/knowledge/file-1?from=3&to=9#cited" in page.links

    page = await browser.send(f"/support/{ticket}/claim")
    assert "Claimed by ann" in page.text
    page = await browser.send(f"/support/{ticket}/reply", text="Open it,\nthen rinse it.")
    assert "Replied by ann" in page.text
    assert "Open it," in page.text
    await console.support.feedback(who, ticket, helpful=False, comment="Too short")
    assert "It did not help: “Too short”" in (await browser.open(f"/support/{ticket}")).text
    assert "Nobody waits for a person." in (await browser.open("/support")).text
    assert ticket in (await browser.open("/support?view=replied")).html
    assert ticket not in (await browser.open("/support?view=closed")).html

    await browser.open(f"/support/{ticket}")
    assert "Closed" in (await browser.send(f"/support/{ticket}/close")).text
    await browser.send(f"/support/{ticket}/delete")
    await browser.open(f"/support/{ticket}")
    assert browser.status == 404


async def test_an_answer_of_the_assistant_is_shown_with_all_that_is_known_of_it(
    console: FakeConsole, browser: Browser
) -> None:
    who = await principal_of(console, await browser.sign_up())
    ticket = (await console.support.ask(who, "How often?")).thread.ticket.name
    await answered(console, who, ticket, "Every **30** days [1].")
    page = await browser.open(f"/support/{ticket}")
    for fact in ("80%", "40 ms", "0.000012 USD", "fake-model (fake)", "support@1"):
        assert fact in page.text
    (mark,) = [link for link in page.links if link.startswith("#msg_")]
    assert mark.removeprefix("#") in page.ids
    page = await browser.send(f"/support/{ticket}/hand-off")
    assert "The customer asked for a person." in page.text


async def test_a_reply_that_is_refused_is_not_lost(console: FakeConsole, browser: Browser) -> None:
    who = await principal_of(console, await browser.sign_up())
    ticket = (await console.support.ask(who, "How often?")).thread.ticket.name
    await console.support.claim(who, ticket, agent="bob")
    page = await browser.open(f"/support/{ticket}")
    assert "bob has this ticket. Release it to answer yourself." in page.text
    fields = page.forms[0].fields | {"text": "My words"}
    response = await browser.client.post(f"/support/{ticket}/reply", data=fields)
    assert response.status_code == 409
    assert "bob has this ticket" in response.text
    await browser.open(f"/support/{ticket}")
    await browser.send(f"/support/{ticket}/release")
    assert "Send the reply" in browser.page.text


async def test_a_foreign_ticket_is_not_there_and_nobody_acts_without_their_form(
    console: FakeConsole, browser: Browser, other_browser: Browser
) -> None:
    assert (await browser.client.get("/support")).headers["location"] == "/login"
    who = await principal_of(console, await browser.sign_up("ann"))
    ticket = (await console.support.ask(who, "How often?")).thread.ticket.name
    await other_browser.sign_up("bob")
    assert ticket not in (await other_browser.open("/support?view=all")).html
    token = {"form_token": other_browser.page.forms[0].fields["form_token"], "text": "x"}
    for act in ("claim", "release", "reply", "hand-off", "close", "delete"):
        assert (await other_browser.client.post(f"/support/{ticket}/{act}", data=token)).status_code == 404
        assert (await browser.client.post(f"/support/{ticket}/{act}", data={"text": "x"})).status_code == 403
    assert (await other_browser.client.get(f"/support/{ticket}")).status_code == 404
    assert (await console.support.find(who, ticket)).ticket.state == "waiting"
