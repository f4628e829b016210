"""The way of a person without scripts: sign up, see the key, ask, read the sources, log out."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tenfold.access.accounts import IDLE
from tenfold.assistant.ending import NO_MODEL, NOT_ANSWERED
from tenfold.console.services import ReceiptLine
from tenfold.core.errors import RateLimited, UpstreamUnavailable
from tests.console.browser import PASSWORD, Browser, key_on
from tests.console.conftest import new_client
from tests.support.console import FakeConsole, fake_console


async def test_from_sign_up_to_a_cited_answer(console: FakeConsole, browser: Browser) -> None:
    front = await browser.open("/")
    assert "One place for every" in front.text

    key = await browser.sign_up()
    assert "Your API key" in browser.page.text
    assert f"Authorization: Bearer {key}" in browser.page.text
    assert 'base_url="http://tenfold.test/v1"' in browser.page.text
    assert (await console.keyring.load(key)).tenant_slug.startswith("acme-")

    page = await browser.send("/ask", question="How do I use the OpenAI SDK?")

    assert "Set base_url to the address of Tenfold followed by /v1" in page.text
    assert "/docs/quickstart#call-it-with-the-openai-sdk" in page.links
    assert {"source-1", "source-2"} <= set(page.ids)
    assert "#source-1" in page.links
    assert "0.000012 USD" in page.text
    assert "Latency 0 ms" in page.text
    assert "Cache miss" in page.text
    assert "fake-model (fake)" in page.text
    assert "How do I use the OpenAI SDK?" in page.text


async def test_the_key_is_shown_once(browser: Browser) -> None:
    key = await browser.sign_up()

    for path in ("/", "/keys", "/usage"):
        page = await browser.open(path)
        assert key not in page.html
        assert browser.status == 200
    assert key[:8] in (await browser.open("/keys")).text


async def test_an_example_is_a_question(console: FakeConsole, browser: Browser) -> None:
    await browser.sign_up()
    examples = [attributes["value"] for tag, attributes in browser.page.elements if attributes.get("class") == "chip"]
    assert len(examples) == 3

    await browser.send("/ask", question=examples[0])

    assert console.searcher.asked[-1][1] == examples[0]


async def test_what_the_documents_do_not_answer(console: FakeConsole, browser: Browser) -> None:
    console.searcher.hits = [msgspec.structs.replace(hit, relevance=0.1) for hit in console.searcher.hits]
    await browser.sign_up()

    page = await browser.send("/ask", question="Who won the cup?")

    assert NOT_ANSWERED in page.text
    assert "Nearest passages" in page.text
    assert "no model was called" in page.text


async def test_without_a_model_the_page_still_helps(console: FakeConsole, browser: Browser) -> None:
    console.caller.error = UpstreamUnavailable("away")
    await browser.sign_up()

    page = await browser.send("/ask", question="Why?")

    assert browser.status == 200
    assert NO_MODEL in page.text
    assert "/docs/quickstart#call-it-with-the-openai-sdk" in page.links


async def test_refused_questions_are_explained_beside_the_box(console: FakeConsole, browser: Browser) -> None:
    await browser.sign_up()

    page = await browser.send("/ask", question="x" * 2001)
    assert (browser.status, "at most 2000 characters" in page.text) == (400, True)

    console.caller.error = RateLimited("Slow down.", retry_after_s=3)
    page = await browser.send("/ask", question="Why?")
    assert (browser.status, "Slow down." in page.text) == (429, True)


async def test_sign_up_mistakes_are_told_at_their_field_and_keep_what_was_typed(browser: Browser) -> None:
    await browser.open("/")
    page = await browser.send("/signup", tenant_name="Acme <&> Co", login="ann", password="short")

    assert browser.status == 400
    assert "at least 8 characters" in page.text
    assert page.form("/signup").fields["tenant_name"] == "Acme <&> Co"
    assert page.form("/signup").fields["password"] == ""
    assert "password-error" in page.ids


async def test_a_taken_login_is_told(browser: Browser, other_browser: Browser) -> None:
    await browser.sign_up("ann")
    await other_browser.open("/")

    page = await other_browser.send("/signup", tenant_name="Other", login="ANN", password=PASSWORD)

    assert (other_browser.status, "This login is taken." in page.text) == (409, True)


async def test_log_out_and_in_again(browser: Browser) -> None:
    await browser.sign_up("ann")
    page = await browser.send("/logout")
    assert "Start here" in page.text
    assert "Log in" in (await browser.open("/keys")).text

    page = await browser.send("/login", login="ann", password="wrong")
    assert browser.status == 401
    assert "The login or the password is wrong." in page.text

    page = await browser.send("/login", login="ann", password=PASSWORD)
    assert "Your question" in page.text
    assert "Acme" in page.text


async def test_a_session_that_ended_leads_to_the_log_in(console: FakeConsole, browser: Browser) -> None:
    await browser.sign_up()
    console.clock.advance(IDLE.total_seconds())

    for path in ("/keys", "/usage"):
        page = await browser.open(path)
        assert page.form("/login").fields["password"] == ""


async def test_keys_are_made_listed_in_pages_and_revoked(console: FakeConsole, browser: Browser) -> None:
    await browser.sign_up()
    await browser.open("/keys")
    page = await browser.send("/keys", name="Batch & jobs", scope="usage", expires="90")
    secret = key_on(page)
    assert (await console.keyring.load(secret)).scopes == {"usage"}

    page = await browser.open("/keys")
    assert "Batch & jobs" in page.text
    revoke = next(form.action for form in page.forms if form.action.endswith("/revoke"))
    page = await browser.send(revoke)
    assert "revoked" in page.text

    for number in range(25):
        await browser.send("/keys", name=f"key {number}")
    page = await browser.open("/keys")
    older = next(link for link in page.links if link.startswith("/keys?cursor="))
    assert len([form for form in page.forms if form.action.endswith("/revoke")]) == 20
    assert "First key" not in page.text
    assert "First key" in (await browser.open(older)).text


async def test_key_mistakes_are_told(browser: Browser) -> None:
    await browser.sign_up()
    for fields, words in [
        ({"name": ""}, "A name is needed."),
        ({"name": "x", "scope": "root"}, "Scopes are one or more of"),
        ({"name": "x", "expires": "999999999"}, "one of the times offered"),
    ]:
        await browser.open("/keys")
        page = await browser.send("/keys", **fields)
        assert (browser.status, words in page.text) == (400, True), fields


async def test_another_tenants_key_is_not_found(console: FakeConsole, browser: Browser, other_browser: Browser) -> None:
    theirs = await other_browser.sign_up("bob", "Other")
    their_id = (await console.keyring.load(theirs)).key_id
    await browser.sign_up("ann", "Acme")
    page = await browser.open("/keys")
    token = page.form("/keys").fields["form_token"]

    response = await browser.client.post(f"/keys/{their_id}/revoke", data={"form_token": token})

    assert response.status_code == 404
    assert console.keyring.authenticate(theirs) is not None


async def test_usage_shows_spend_and_receipts_in_pages(console: FakeConsole, browser: Browser) -> None:
    key = await browser.sign_up()
    assert "No call has been made yet." in (await browser.open("/usage")).text

    tenant_id = (await console.keyring.load(key)).tenant_id
    now = datetime.now(UTC)
    console.usage.add(
        tenant_id,
        [
            ReceiptLine(
                id=f"r{number}",
                at=now - timedelta(hours=number),
                operation="chat",
                model=f"model-{number}",
                provider=None,
                input_tokens=100,
                output_tokens=20,
                cost_nano=None if number == 0 else 1_000_000,
                latency_ms=1234,
                cache="miss",
                status="ok",
            )
            for number in range(30)
        ],
    )

    page = await browser.open("/usage")
    assert "0.029 USD" in page.text
    assert "30 calls" in page.text
    assert "price unknown" in page.text
    assert len([tag for tag, _ in page.elements if tag == "rect"]) == 30
    older = next(link for link in page.links if link.startswith("/usage?cursor="))
    assert "model-29" in (await browser.open(older)).text


async def test_the_documentation_is_open_to_everyone(browser: Browser) -> None:
    page = await browser.open("/docs")
    assert str(browser.response.url).endswith("/docs/index")
    assert "PostgreSQL" in page.text
    assert "/docs/guides/keys#make-a-key" in page.links
    assert '<script>document.title = "owned"</script>' in page.text  # shown, not run

    page = await browser.open("/docs/quickstart")
    assert {"call-it-with-the-openai-sdk", "call-it-with-the-openai-sdk-1"} <= set(page.ids)
    assert "/docs/index" in (await browser.open("/docs/guides/keys")).links
    await browser.open("/docs/../../etc/passwd")
    assert browser.status == 404


async def test_sign_up_can_be_closed() -> None:
    async with fake_console(sign_up_open=False) as console, new_client(console) as client:
        browser = Browser(client)
        page = await browser.open("/")
        assert "Signing up is closed" in page.text
        token = (await browser.open("/login")).form("/login").fields["form_token"]
        response = await client.post("/signup", data={"form_token": token, "login": "ann", "password": PASSWORD})
        assert response.status_code == 403


@pytest.mark.parametrize("path", ["/", "/keys", "/usage", "/budgets", "/login"])
async def test_the_database_away_is_a_503_page(path: str, console: FakeConsole, browser: Browser) -> None:
    await browser.sign_up()
    console.rows.away = True

    page = await browser.open(path)

    assert browser.status == 503
    assert browser.response.headers["retry-after"] == "1"
    assert "not available at the moment" in page.text

    await browser.open("/docs/quickstart")
    assert browser.status == 200
