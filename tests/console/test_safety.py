"""What an attacker, a cut connection or a clumsy client may send: no script runs, no foreign form counts, no 500."""

import json
import re

import httpx
import pytest

from tenfold.assistant.types import Hit
from tenfold.console.security import MAX_BODY_BYTES
from tenfold.core.sse import SseDecoder
from tests.console.browser import PASSWORD, Browser, Page
from tests.console.conftest import new_client
from tests.support.console import FakeConsole, fake_console
from tests.support.naughty import naughty_strings

PROTECTED = ["/signup", "/login", "/ask", "/keys", "/keys/widget", "/knowledge", "/logout"]


async def test_every_reply_has_the_security_headers(browser: Browser) -> None:
    for path in ("/", "/nothing", "/docs/index", "/api/v1/keys", "/api/openapi.json", "/static/console.js"):
        await browser.open(path)
        headers = browser.response.headers
        policy = dict(rule.strip().split(" ", 1) for rule in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert headers["x-content-type-options"] == "nosniff"
        assert re.fullmatch(r"req_[0-9a-f]{32}", headers["x-request-id"])


async def test_pages_hold_nothing_inline_and_nothing_from_elsewhere(browser: Browser) -> None:
    await browser.sign_up()
    for path in ("/", "/knowledge", "/support", "/keys", "/usage", "/cache", "/status", "/docs/index", "/nothing"):
        page = await browser.open(path)
        for tag, attributes in page.elements:
            assert tag != "style"
            assert not any(name.startswith("on") or name == "style" for name in attributes), (path, tag, attributes)
            if tag in ("script", "link", "img"):
                assert (attributes.get("src") or attributes["href"]).startswith("/static/")


async def test_every_field_has_a_label_and_every_page_one_heading(browser: Browser) -> None:
    await browser.open("/login")
    pages = [browser.page]
    await browser.sign_up()
    pages += [browser.page] + [
        await browser.open(path)
        for path in ("/", "/knowledge", "/support", "/keys", "/usage", "/cache", "/status", "/docs/quickstart", "/x")
    ]
    for page in pages:
        labelled = {attributes.get("for") for tag, attributes in page.elements if tag == "label"}
        for tag, attributes in page.elements:
            if tag in ("input", "textarea", "select") and attributes.get("type") not in ("hidden", "checkbox"):
                assert attributes["id"] in labelled
        tags = [tag for tag, _ in page.elements]
        assert (tags.count("h1"), tags.count("main"), "nav" in tags) == (1, 1, True)
        assert len(page.ids) == len(set(page.ids))


# -- forms of other sites --------------------------------------------------------------------


@pytest.mark.parametrize("action", PROTECTED)
async def test_a_form_without_its_token_is_refused(action: str, browser: Browser) -> None:
    if action not in ("/signup", "/login"):
        await browser.sign_up()
    for token in ({}, {"form_token": ""}, {"form_token": "0" * 64}, {"form_token": "\u00e9"}):
        response = await browser.client.post(action, data=token)
        assert response.status_code == 403
    response = await browser.client.post(action, json={"form_token": "x"})
    assert response.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.test"},
        {"origin": "null"},
        {"origin": "http://tenfold.test.evil.test"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_a_form_from_another_origin_is_refused_even_with_the_token(
    headers: dict[str, str], console: FakeConsole, browser: Browser
) -> None:
    await browser.sign_up()
    form = browser.page.form("/ask")

    for path in ("/ask", "/ask/stream", "/keys"):
        response = await browser.client.post(path, data=form.fields | {"question": "x", "name": "x"}, headers=headers)
        assert response.status_code == 403
    assert console.caller.requests == []


async def test_one_visitors_token_is_worth_nothing_to_another(browser: Browser, other_browser: Browser) -> None:
    stranger = (await other_browser.open("/")).form("/signup").fields["form_token"]
    await browser.open("/")

    fields = {"form_token": stranger, "tenant_name": "A", "login": "ann", "password": PASSWORD}
    assert (await browser.client.post("/signup", data=fields)).status_code == 403

    await other_browser.sign_up("bob")
    stranger = other_browser.page.form("/ask").fields["form_token"]
    await browser.sign_up("ann")
    assert (await browser.client.post("/ask", data={"form_token": stranger, "question": "x"})).status_code == 403


async def test_a_get_changes_nothing(console: FakeConsole, browser: Browser) -> None:
    await browser.sign_up()
    for path in ("/logout", "/signup", "/ask?question=x", "/keys/x/revoke"):
        await browser.open(path)
    assert console.caller.requests == []
    assert "Your question" in (await browser.open("/")).text


# -- cookies ---------------------------------------------------------------------------------


async def test_cookies_are_out_of_reach_of_scripts_and_other_sites(browser: Browser) -> None:
    await browser.open("/")
    visitor = browser.response.headers["set-cookie"]
    await browser.sign_up()
    session = browser.response.headers["set-cookie"]

    for cookie in (visitor, session):
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Secure" not in cookie


@pytest.mark.parametrize(("base_url", "always"), [("https://tenfold.test", False), ("http://tenfold.test", True)])
async def test_over_https_cookies_are_secure_and_bound_to_the_host(base_url: str, always: bool) -> None:
    async with fake_console(secure_cookies=always) as console, new_client(console, base_url) as client:
        response = await client.get("/")
        cookie = response.headers["set-cookie"]
        assert cookie.startswith("__Host-tenfold_visitor=")
        assert "Secure" in cookie
        assert "Path=/" in cookie
        assert ("strict-transport-security" in response.headers) == base_url.startswith("https")


async def test_signing_in_gives_a_session_of_its_own(browser: Browser) -> None:
    """A token planted before the log in is worth nothing after it (session fixation)."""
    browser.client.cookies.set("tenfold_session", "planted", domain="tenfold.test")
    await browser.sign_up()
    assert browser.client.cookies.get("tenfold_session", domain="tenfold.test") != "planted"
    assert "Your question" in (await browser.open("/")).text


async def test_pages_of_a_tenant_are_not_kept_by_caches_and_files_are(browser: Browser) -> None:
    await browser.sign_up()
    assert browser.response.headers["cache-control"] == "no-store"
    sheet = next(
        attributes["href"] for tag, attributes in browser.page.elements if attributes.get("rel") == "stylesheet"
    )
    await browser.open(sheet)
    assert "immutable" in browser.response.headers["cache-control"]
    assert browser.response.headers["content-type"].startswith("text/css")


# -- bad input -------------------------------------------------------------------------------


async def test_naughty_strings_in_every_field(browser: Browser) -> None:
    await browser.sign_up()
    token = {"form_token": browser.page.form("/ask").fields["form_token"]}
    for text in naughty_strings():
        text = text.encode("utf-8", "replace").decode()
        for path, field in (("/keys", "name"), ("/ask", "question")):
            response = await browser.client.post(path, data=token | {field: text})
            assert response.status_code in (200, 400)
            assert_harmless(Page(response.text))


async def test_naughty_strings_before_signing_in(console: FakeConsole, browser: Browser) -> None:
    for text in naughty_strings()[::4]:
        console.clock.advance(3600)
        text = text.encode("utf-8", "replace").decode()
        await browser.open("/")
        page = await browser.send("/signup", tenant_name=text, login=text, password=text)
        assert browser.status in (400, 409)
        assert_harmless(page)
        await browser.open("/login")
        page = await browser.send("/login", login=text, password=text)
        assert browser.status == 401
        assert_harmless(page)


async def test_naughty_strings_in_addresses_and_cookies(browser: Browser) -> None:
    await browser.sign_up()
    for text in naughty_strings():
        text = text.encode("utf-8", "replace").decode()
        for path in ("/keys", "/usage"):
            response = await browser.client.get(path, params={"cursor": text})
            assert response.status_code in (200, 400)
        quoted = str(httpx.QueryParams({"x": text}))[2:]
        for path in (f"/docs/{quoted}", f"/static/{quoted}", f"/{quoted}"):
            response = await browser.client.get(path, follow_redirects=True)
            assert response.status_code in (200, 404, 405)
            assert_harmless(Page(response.text))
        raw = b"tenfold_session=" + re.sub(rb"[\r\n\0]", b"", text.encode())
        response = await browser.client.get("/login", headers={b"cookie": raw})
        assert response.status_code in (200, 303)


async def test_documents_and_models_cannot_put_markup_into_a_page(console: FakeConsole, browser: Browser) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'>"
    console.searcher.hits = [
        Hit(title=evil, heading=evil, url='/docs/"onmouseover="alert(1)', text=evil, relevance=1.0)
    ]
    console.caller.pieces = [f"{evil} [1] [x](javascript:alert(1)) ![x](http://evil.test/leak.png) <http://evil.test>"]
    await browser.sign_up()

    page = await browser.send("/ask", question=evil)
    streamed = await browser.client.post("/ask/stream", data=page.form("/ask").fields | {"question": evil})

    assert_harmless(page)
    assert "alert(1)" in page.text
    assert [
        attributes for tag, attributes in page.elements if tag == "img" and "/static/" not in attributes["src"]
    ] == []
    assert not any("evil.test" in link for link in page.links)
    end = SseDecoder().feed(streamed.content)[-1]
    assert end.event == "end"
    assert_harmless(Page(json.loads(end.data)["html"]))


def assert_harmless(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("style", "iframe", "object", "embed", "base", "marquee", "video", "audio")
        assert not any(name.startswith("on") or name in ("style", "srcdoc") for name in attributes), (tag, attributes)
        if tag == "script":
            assert attributes["src"].startswith("/static/")
        assert not attributes.get("href", "").lower().lstrip().startswith(("javascript:", "data:", "vbscript:"))


async def test_large_bodies_are_refused(browser: Browser) -> None:
    await browser.sign_up()
    token = browser.page.form("/ask").fields["form_token"]

    response = await browser.client.post("/ask", data={"form_token": token, "question": "x" * MAX_BODY_BYTES})
    assert response.status_code == 413
    many = {f"field{number}": "x" for number in range(100)}
    assert (await browser.client.post("/ask", data=many)).status_code in (400, 403)
    files = {"question": ("a.txt", b"x" * 100)}
    assert (await browser.client.post("/ask", data={"form_token": token}, files=files)).status_code == 400


async def test_the_host_header_cannot_write_into_the_snippets(browser: Browser) -> None:
    await browser.open("/")
    form = browser.page.form("/signup")
    fields = form.fields | {"tenant_name": "A", "login": "ann", "password": PASSWORD}

    response = await browser.client.post("/signup", data=fields, headers={"host": 'x"; rm -rf /; "'})

    assert "rm -rf" not in response.text
    assert "http://127.0.0.1:8080/v1" in response.text


async def test_a_crash_is_a_500_page_with_a_reference_and_no_details(console: FakeConsole) -> None:
    async def crash(*_: object) -> None:
        raise RuntimeError("the secret inside")

    console.rows.session = crash  # type: ignore[assignment, method-assign]
    async with new_client(console) as client:
        response = await client.get("/", headers={"cookie": "tenfold_session=x"})

    assert response.status_code == 500
    assert "secret" not in response.text
    assert response.headers["x-request-id"] in response.text
    assert "content-security-policy" in response.headers


async def test_unknown_addresses_and_methods(browser: Browser) -> None:
    page = await browser.open("/nothing")
    assert (browser.status, "There is nothing here" in page.text) == (404, True)
    assert (await browser.client.put("/keys")).status_code == 405
    assert (await browser.client.get("/api/nothing")).headers["content-type"] == "application/problem+json"
    assert (await browser.client.get("/api/nothing")).status_code == 404


async def test_head_is_get_without_the_body(browser: Browser) -> None:
    response = await browser.client.head("/login")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"].startswith("text/html")
