"""A real Tenfold without a provider: a person uploads a manual, asks, and follows the citation to its page; a visitor
of another site asks in the widget, and a person of the team answers.
"""

from collections.abc import Iterator

import httpx
import pytest

from tests.console.browser import Browser, Page
from tests.e2e.calls import eventually
from tests.retrieval.extract.files import pdf
from tests.support.tenfold_process import TenfoldProcess

SITE = "https://shop.example"
CARE = [
    (11, f"It is {word} and wants to be handled with care by people who have read these pages.")
    for word in ("heavy", "fast", "loud", "hot", "new")
]
PAGES = (
    [(20, "Pump P-100"), (11, "This manual describes the pump P-100."), *CARE],
    [(20, "Cleaning the filter"), (11, "Clean the filter of the pump every 30 days with lukewarm water."), *CARE],
    [(20, "Warranty"), (11, "The warranty of the pump lasts 24 months from the day of purchase."), *CARE],
)


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TenfoldProcess]:
    with TenfoldProcess(tmp_path_factory.mktemp("manual"), "") as process:
        yield process


async def test_a_manual_is_uploaded_asked_and_cited_and_its_widget_answers(alone: TenfoldProcess) -> None:
    async with httpx.AsyncClient(base_url=alone.url, timeout=60) as client:
        browser = Browser(client)
        await browser.sign_up()
        await browser.open("/knowledge")
        await browser.upload("/knowledge", ("manual.pdf", pdf(PAGES, title="Pump P-100")))

        async def is_read() -> bool:
            return "1 document to answer from" in (await browser.open("/knowledge")).text

        await eventually(is_read)
        await browser.open("/")
        page = await browser.send("/ask", question="How often must I clean the filter?")
        assert "every 30 days" in page.text
        cited = next(link for link in page.links if link.startswith("/knowledge/file-"))
        page = await browser.open(cited.partition("#")[0])
        assert "on page 2" in page.text
        assert "every 30 days" in page.html.split('id="cited"')[1].split("</div>")[0]

        await browser.open("/keys")
        made = await browser.send("/keys/widget", name="Help", origins=SITE)
        key = made.html.split("data-key=&#34;")[1].split("&#34;")[0]
        frame = Page((await client.get("/widget", params={"key": key})).text)
        frame = await _said(client, frame, "ask", question="How long is the warranty?")

        async def is_answered() -> bool:
            nonlocal frame
            frame = await _said(client, frame, "look")
            return "24 months" in frame.text

        await eventually(is_answered)
        frame = await _said(client, frame, "hand_off")
        await browser.open("/support")
        ticket = next(link for link in browser.page.links if link.startswith("/support/sup_"))
        await browser.open(ticket)
        await browser.send(f"{ticket}/claim")
        await browser.send(f"{ticket}/reply", text="And 36 for you.")
        assert "And 36 for you." in (await _said(client, frame, "ask", question="Really?")).text

        await browser.open("/knowledge")
        await browser.send(f"{cited.partition('?')[0]}/delete")
        assert "There is no document here yet" in (await browser.open("/knowledge")).text
        await browser.open("/cache")
        assert browser.status == 200


async def _said(client: httpx.AsyncClient, frame: Page, do: str, **fields: str) -> Page:
    form = next((form for form in frame.forms if form.fields.get("do") == do), None)
    sent = form.fields if form else {**frame.forms[-1].fields, "do": do}
    return Page((await client.post("/widget", data=sent | fields)).text)
