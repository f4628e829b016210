"""The Cache page without a script: layers, scopes with what they are worth, reset; other tenants."""

from datetime import UTC, datetime

from msgspec import structs

from tenfold.app.cache_pages import LiveLayers
from tenfold.cache.semantic.fake import NOTHING_YET
from tenfold.cache.semantic.rows import ScopeFacts
from tenfold.cache.semantic.types import ScopeStatus
from tenfold.console.cache_services import LayerCount
from tenfold.console.caches import percent
from tenfold.console.services import ReceiptLine
from tenfold.core.call import CacheState
from tenfold.core.ids import TenantId, uuid7
from tests.console.browser import Browser
from tests.console.support_parts import principal_of
from tests.support.console import FakeConsole


async def scope(console: FakeConsole, tenant_id: TenantId, model: str, status: ScopeStatus) -> None:
    facts = ScopeFacts(digest=model.encode().ljust(32), dialect="openai", model=model, stream=True, max_false_hits=0.01)
    at = await console.semantic_rows.open_scope(tenant_id, facts)
    await console.semantic_rows.keep(tenant_id, at, new=None, seen=None, status=status, max_entries=10)


def line(cache: CacheState) -> ReceiptLine:
    return ReceiptLine(
        id=str(uuid7()),
        at=datetime.now(UTC),
        operation="chat",
        model="m",
        provider="p",
        input_tokens=1,
        output_tokens=1,
        cost_nano=0,
        latency_ms=1,
        cache=cache,
        status="ok",
    )


async def test_scopes_say_what_their_answers_are_worth(console: FakeConsole, browser: Browser) -> None:
    who = await principal_of(console, await browser.sign_up())
    assert "No call has asked for answers by meaning yet." in (await browser.open("/cache")).text
    states = {
        "good-model": structs.replace(NOTHING_YET, bound=0.0071, max_false_hits=0.01),
        "new-model": structs.replace(NOTHING_YET, bound=1.0, max_false_hits=0.01),
        "bad-model": structs.replace(
            NOTHING_YET, bound=0.4, max_false_hits=0.01, is_off=True, why_off="2 of 9 checks were wrong"
        ),
    }
    for model, status in states.items():
        await scope(console, who.tenant_id, model, status)
    console.layers.told = [LayerCount(layer="memory", hits=3, misses=1), LayerCount(layer="valkey", hits=0, misses=0)]
    console.usage.add(who.tenant_id, [line("hit"), line("coalesced"), line("miss"), line("bypass")])

    page = await browser.open("/cache")
    rows = [row.split("</tr>")[0] for row in page.html.split("<tr>")[2:]]
    shown = {model: next(row for row in rows if model in row) for model in states}
    assert "Answering" in shown["good-model"]
    assert "0.71%" in shown["good-model"]
    assert "Learning" in shown["new-model"]
    assert "2 of 9 checks were wrong" in shown["bad-model"]
    assert "2 of 4 calls" in page.text
    assert "75%" in page.text
    assert "3 of 4, this process" in page.text


async def test_a_scope_is_reset_by_its_own_tenant_only(
    console: FakeConsole, browser: Browser, other_browser: Browser
) -> None:
    assert (await browser.client.get("/cache")).headers["location"] == "/login"
    who = await principal_of(console, await browser.sign_up("ann"))
    await scope(console, who.tenant_id, "m", structs.replace(NOTHING_YET, bound=0.4, max_false_hits=0.01))
    page = await browser.open("/cache")
    (action,) = [form.action for form in page.forms if form.action.endswith("/reset")]
    await other_browser.sign_up("bob")
    assert action not in (await other_browser.open("/cache")).html
    token = {"form_token": other_browser.page.forms[0].fields["form_token"]}
    assert (await other_browser.client.post(action, data=token)).status_code == 404
    assert (await browser.client.post(action)).status_code == 403
    assert "40%" in (await browser.open("/cache")).text
    assert "40%" not in (await browser.send(action)).text


async def test_scopes_are_listed_in_pages(console: FakeConsole, browser: Browser) -> None:
    who = await principal_of(console, await browser.sign_up())
    for number in range(25):
        await scope(console, who.tenant_id, f"model-{number}.", NOTHING_YET)
    first = await browser.open("/cache")
    second = await browser.open(next(link for link in first.links if "cursor" in link))
    assert (first.html.count("/reset"), second.html.count("/reset")) == (20, 5)
    await browser.open("/cache?cursor=x")
    assert browser.status == 400


def test_layers_are_counted_over_all_sources() -> None:
    memory, meaning = (("layer", "memory"),), (("layer", "semantic"),)
    layers = LiveLayers(
        [
            lambda: [("tenfold_cache_hits_total", memory, 2.0), ("tenfold_cache_misses_total", memory, 5.0)],
            lambda: [("tenfold_cache_bytes", meaning, 9.0), ("tenfold_cache_hits_total", meaning, 1.0)],
        ]
    )
    assert layers.layers() == [
        LayerCount(layer="memory", hits=2, misses=5),
        LayerCount(layer="semantic", hits=1, misses=0),
    ]


def test_small_shares_keep_their_digits() -> None:
    assert [percent(share) for share in (1, 0.123, 0.05, 0.0071, 0)] == ["100%", "12%", "5%", "0.71%", "0%"]
