"""The Knowledge page without a script: upload, progress, the place that is cited, deleting, and other tenants."""

import re
from collections.abc import AsyncIterator

from tenfold.console.knowledge import PART_CHARS, place_page
from tenfold.console.knowledge_services import KnowledgeText
from tests.console.browser import Browser
from tests.support.console import FakeConsole

MANUAL = b"# Pump\n\nTurn it off first.\n\n## Filter\n\nClean the filter every 30 days. [See](http://evil.test)\n"


async def test_a_file_is_uploaded_read_shown_and_deleted(console: FakeConsole, browser: Browser) -> None:
    await browser.sign_up()
    page = await browser.open("/knowledge")
    assert "Tenfold's own documentation" in page.text

    page = await browser.upload("/knowledge", ("manual.md", MANUAL), ("notes.txt", b"\xff\xfe\xff"))
    assert "0 documents to answer from, 2 being read." in page.text
    assert 'http-equiv="refresh"' in page.html
    console.knowledge.read()
    page = await browser.open("/knowledge")
    assert "1 document to answer from, 1 could not be read." in page.text
    assert "Save it as UTF-8" in page.text
    assert 'http-equiv="refresh"' not in page.html

    (link,) = [link for link in page.links if link.startswith("/knowledge/file-")]
    start = MANUAL.index(b"Clean")
    page = await browser.open(f"{link}?from={start}&to={start + 31}")
    assert re.search(r'class="cited" id="cited"[^>]*><p>Clean the filter every 30 days.</p>', page.html)
    assert "http://evil.test" not in page.links
    assert "To the cited passage" in page.text

    await browser.open("/knowledge")
    await browser.send(f"{link}/delete")
    assert "manual.md" not in (await browser.open("/knowledge")).text
    await browser.open(link)
    assert browser.status == 404


async def test_the_ask_page_says_what_it_answers_from(console: FakeConsole, browser: Browser) -> None:
    await browser.sign_up()
    page = await browser.open("/")
    assert "Tenfold's own documentation" in page.text
    assert "/knowledge" in page.links
    await browser.open("/knowledge")
    await browser.upload("/knowledge", ("manual.md", MANUAL))
    assert "Tenfold's own documentation" in (await browser.open("/")).text  # it is not read yet
    console.knowledge.read()
    page = await browser.open("/")
    assert "The answer comes from your 1 document and says from where." in page.text
    assert "Try:" not in page.text
    console.knowledge.away = True
    await browser.open("/")
    assert browser.status == 200


async def test_files_that_are_refused_are_named(console: FakeConsole, browser: Browser) -> None:
    await browser.sign_up()
    await browser.open("/knowledge")
    assert "Choose a file first." in (await browser.upload("/knowledge")).text
    assert browser.status == 400
    page = await browser.upload("/knowledge", ("good.md", MANUAL), ("empty.md", b""), ("also good.md", MANUAL))
    assert "empty.md: The file is empty." in page.text
    assert "2 being read" in page.text
    await browser.upload("/knowledge", ("big.md", b"x" * (console.knowledge.max_upload_bytes + 1)))
    assert browser.status == 413
    await browser.open("/knowledge")
    await browser.upload("/knowledge", ("huge.md", b"x" * (console.knowledge.max_upload_bytes + 100_000)))
    assert browser.status == 413


async def test_a_file_name_is_text(console: FakeConsole, browser: Browser) -> None:
    await browser.sign_up()
    await browser.open("/knowledge")
    listed = await browser.upload("/knowledge", ("<img src=x onerror=alert(1)>.md", b"<script>alert(1)</script>"))
    console.knowledge.read()
    (link,) = {link for link in (await browser.open("/knowledge")).links if link.startswith("/knowledge/file-")}
    for page in (listed, await browser.open("/knowledge"), await browser.open(link)):
        assert not any(tag == "img" and "onerror" in attributes for tag, attributes in page.elements)
        assert not any(tag == "script" and "src" not in attributes for tag, attributes in page.elements)


async def test_another_tenants_document_is_not_there(
    console: FakeConsole, browser: Browser, other_browser: Browser
) -> None:
    await browser.sign_up("ann")
    await browser.open("/knowledge")
    await browser.upload("/knowledge", ("manual.md", MANUAL))
    console.knowledge.read()
    (link,) = [link for link in (await browser.open("/knowledge")).links if link.startswith("/knowledge/file-")]

    await other_browser.sign_up("bob")
    page = await other_browser.open("/knowledge")
    assert "manual.md" not in page.text
    token = page.forms[-1].fields["form_token"]
    await other_browser.open(link)
    assert other_browser.status == 404
    response = await other_browser.client.post(f"{link}/delete", data={"form_token": token})
    assert response.status_code == 404
    await browser.open(link)
    assert browser.status == 200


async def test_nobody_uploads_without_a_session_or_from_elsewhere(console: FakeConsole, browser: Browser) -> None:
    for path in ("/knowledge", "/knowledge/file-1"):
        assert (await browser.client.get(path)).headers["location"] == "/login"
    files = {"file": ("a.md", MANUAL)}
    assert (await browser.client.post("/knowledge", files=files)).headers["location"] == "/login"
    await browser.sign_up()
    assert (await browser.client.post("/knowledge", files=files)).status_code == 403
    token = (await browser.open("/knowledge")).form("/knowledge").fields
    evil = {"origin": "http://evil.test"}
    assert (await browser.client.post("/knowledge", files=files, data=token, headers=evil)).status_code == 403
    page = await browser.open("/knowledge")
    assert "There is no document here yet" in page.text


async def test_documents_are_listed_in_pages(console: FakeConsole, browser: Browser) -> None:
    await browser.sign_up()
    await browser.open("/knowledge")
    for start in (0, 12):
        await browser.upload("/knowledge", *((f"file {number}.md", MANUAL) for number in range(start, start + 12)))
    page = await browser.open("/knowledge")
    assert "file 23.md" in page.text
    assert "file 3.md" not in page.text
    page = await browser.open(next(link for link in page.links if "cursor" in link))
    assert "file 3.md" in page.text
    assert "cursor" not in " ".join(page.links)
    await browser.open("/knowledge?cursor=x")
    assert browser.status == 400


async def test_a_long_document_is_shown_in_parts_and_opens_where_it_is_cited(console: FakeConsole) -> None:
    line = "A line of it.\n\n"
    text = line * (3 * PART_CHARS // len(line)) + "The needle.\n"
    file = (await _file(console)).file
    whole = KnowledgeText(file=file, title="Long", text=text, pages=(0, 100, len(text) - 5))
    at = text.index("The needle")

    cited = place_page(whole, (at, at + 11), 0)
    first = place_page(whole, None, 0)
    last = place_page(whole, None, 99)

    assert (cited.part, cited.where, cited.is_cited) == (cited.parts, "pages 2 to 3", True)
    assert next(piece.html for piece in cited.pieces if piece.is_cited).startswith("<p>The")
    assert (first.part, first.parts) == (1, cited.parts)
    assert [piece.page for piece in first.pieces] == [1, 2]
    assert last.part == last.parts
    across = place_page(whole, (10, len(text)), 0)
    assert across.pieces[-1].is_cited  # a passage that is longer than a part is shown whole


async def _file(console: FakeConsole) -> KnowledgeText:
    tenant = await console.tenants.create_tenant("acme", "Acme")
    created = await console.keys.create_key(tenant.id, "key")
    principal = await console.keyring.load(created.secret)

    async def pieces() -> AsyncIterator[bytes]:
        yield MANUAL

    await console.knowledge.add(principal, "long.md", pieces())
    console.knowledge.read()
    files = await console.knowledge.files(tenant.id)
    return await console.knowledge.text(tenant.id, files.items[0].id)
