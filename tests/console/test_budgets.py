"""The Budgets page, with scripts off: what is shown, made and ended, and what is refused."""

import pytest

from tenfold.core.ids import TenantId
from tests.console.browser import Browser, Page
from tests.support.console import FakeConsole

BUDGET = {"per": "feature", "subject": "search", "limit_usd": "25.50", "period": "month", "hard": "yes"}
LIMIT = {"limit_per": "key", "limit_subject": "", "amount": "60", "measure": "requests", "window": "60"}


async def signed_up(console: FakeConsole, browser: Browser, login: str = "ann", tenant: str = "Acme") -> TenantId:
    key = await browser.sign_up(login, tenant)
    return (await console.keyring.load(key)).tenant_id


def widths(page: Page, kind: str) -> list[str]:
    return [
        rect["width"] for tag, rect in page.elements if tag == "rect" and rect.get("class") == kind and "height" in rect
    ]


async def test_an_empty_page_says_so(browser: Browser) -> None:
    await browser.sign_up()
    page = await browser.open("/budgets")
    assert "There is no budget here" in page.text
    assert "No limit has been set here." in page.text
    assert "No budget has come near its limit." in page.text
    assert "/budgets" in (await browser.open("/")).links


async def test_a_budget_is_made_shown_and_ended(console: FakeConsole, browser: Browser) -> None:
    tenant_id = await signed_up(console, browser)
    await browser.open("/budgets")
    page = await browser.send("/budgets", **BUDGET)
    assert (browser.status, browser.response.url.path) == (200, "/budgets")
    assert "Feature search: 25.5 USD a month" in page.text
    assert "hard: refuses" in page.text
    assert "alerts at 80 %, 100 %" in page.text
    (line,) = (await console.budgets.lines(tenant_id)).items
    await console.spend(line.budget, "search", settled_nano=12_750_000_000, held_nano=2_550_000_000)

    page = await browser.open("/budgets")
    assert "12.75 USD spent" in page.text
    assert "2.55 USD set aside" in page.text
    assert "10.2 USD left" in page.text
    assert "until 2026-02-01 00:00 UTC" in page.text
    assert (widths(page, "spent"), widths(page, "held")) == (["1", "50.0"], ["1", "10.0"])

    page = await browser.send(f"/budgets/{line.budget.id}/end")
    assert "There is no budget here" in page.text


async def test_a_used_up_budget_and_each_spender_of_one(console: FakeConsole, browser: Browser) -> None:
    tenant_id = await signed_up(console, browser)
    budget = await console.budgets.create(tenant_id, per="run", period="total", limit_nano=10**9, by="operator")
    await console.spend(budget, "run-1", settled_nano=3 * 10**9)
    await console.spend(budget, "run-2", settled_nano=1, held_nano=0)
    soft = await console.budgets.create(tenant_id, per="tenant", period="day", limit_nano=10**9, hard=False, alerts=())
    await console.spend(soft, settled_nano=10**9)

    page = await browser.open("/budgets")
    assert "Each agent run: 1 USD in total" in page.text
    assert "set by the operator" in page.text
    assert page.text.count("used up: further calls are refused") == 1, "a soft budget refuses nothing"
    assert page.text.index("run-1") < page.text.index("run-2")
    assert "100.0" in widths(page, "spent"), "a bar is never longer than the whole"
    assert f"/budgets/{budget.id}/end" not in [form.action for form in page.forms]
    assert "alerts at" not in page.text.partition("All calls together: 1 USD a day")[2].partition("1 USD spent")[0]


async def test_a_limit_is_made_shown_and_ended(console: FakeConsole, browser: Browser) -> None:
    tenant_id = await signed_up(console, browser)
    await browser.open("/budgets")
    page = await browser.send("/limits", **LIMIT)
    assert "Each API key 60 requests a minute" in page.text
    money = LIMIT | {
        "limit_per": "end_user",
        "limit_subject": "u-1",
        "amount": "0.5",
        "measure": "usd",
        "window": "3600",
    }
    page = await browser.send("/limits", **money)
    assert "End user u-1 0.5 USD an hour" in page.text
    page = await browser.send("/limits", **LIMIT | {"limit_per": "tenant", "measure": "concurrency", "amount": "8"})
    assert "All calls together 8 calls at once" in page.text
    await console.limits.create(tenant_id, per="model", measure="tokens", amount=9, window_s=7, by="operator")
    page = await browser.open("/budgets")
    assert "Each model 9 tokens in 7 s set by the operator" in page.text

    for form in [form.action for form in page.forms if form.action.endswith("/end")]:
        page = await browser.send(form)
    assert [form.action for form in page.forms if form.action.endswith("/end")] == []


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"limit_usd": "-5"}, "limit_usd", "An amount is not negative."),
        ({"limit_usd": "5 EUR"}, "limit_usd", "An amount is a plain number of US dollars"),
        ({"alerts": "80, many"}, "alerts", "Write percentages"),
        ({"period": "week"}, "period", "`period` is one of"),
        ({"per": "team"}, "per", "`per` is one of"),
    ],
)
async def test_a_budget_that_cannot_be_is_told_beside_its_field(
    changed: dict[str, str], field: str, words: str, browser: Browser
) -> None:
    await browser.sign_up()
    await browser.open("/budgets")
    page = await browser.send("/budgets", **BUDGET | changed)
    assert (browser.status, words in page.text) == (400, True)
    assert f"{field}-error" in page.ids
    assert page.form("/budgets").fields["subject"] == "search", "what was written stays"


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"amount": "1.5"}, "amount", "Write a whole number."),
        ({"amount": "0"}, "amount", "whole number from 1"),
        ({"amount": "x", "measure": "usd"}, "amount", "An amount is a plain number"),
        ({"window": "7"}, "window", "Choose one of the times"),
        ({"limit_subject": "no-key"}, "limit_subject", "the key's id"),
        ({"limit_per": "tenant", "limit_subject": "x"}, "limit_subject", "no subject"),
    ],
)
async def test_a_limit_that_cannot_be_is_told_beside_its_field(
    changed: dict[str, str], field: str, words: str, browser: Browser
) -> None:
    await browser.sign_up()
    await browser.open("/budgets")
    page = await browser.send("/limits", **LIMIT | changed)
    assert (browser.status, words in page.text) == (400, True), page.text
    assert f"{field}-error" in page.ids


async def test_alerts_are_shown(console: FakeConsole, browser: Browser) -> None:
    tenant_id = await signed_up(console, browser)
    budget = await console.budgets.create(tenant_id, per="feature", period="month", limit_nano=10**10)
    await console.spend(budget, "search", settled_nano=9_500_000_000)
    page = await browser.open("/budgets")
    assert "2026-01-01 00:00 UTC feature search, month 80 % 9.5 USD 10 USD not yet" in page.text


async def test_forms_of_others_and_things_of_others(
    console: FakeConsole, browser: Browser, other_browser: Browser
) -> None:
    theirs = await signed_up(console, other_browser, "bob", "Other")
    budget = await console.budgets.create(theirs, per="tenant", period="month", limit_nano=10**9)
    limit = await console.limits.create(theirs, per="tenant", measure="requests", amount=1, window_s=1)
    await browser.sign_up()
    token = (await browser.open("/budgets")).form("/budgets").fields["form_token"]
    for path in (f"/budgets/{budget.id}/end", f"/limits/{limit.id}/end", "/budgets/nonsense/end"):
        assert (await browser.client.post(path, data={"form_token": token})).status_code == 404
    for path in ("/budgets", "/limits", f"/budgets/{budget.id}/end", f"/limits/{limit.id}/end"):
        assert (await browser.client.post(path, data={"form_token": "x"})).status_code == 403
    assert len((await console.budgets.lines(theirs)).items) == 1
    assert len((await console.limits.list(theirs)).items) == 1


async def test_who_is_not_signed_in_is_led_to_the_login(browser: Browser) -> None:
    await browser.open("/budgets")
    assert browser.response.url.path == "/login"
    response = await browser.client.post("/budgets", data=BUDGET)
    assert (response.status_code, response.headers["location"]) == (303, "/login")


async def test_pages_of_budgets(console: FakeConsole, browser: Browser) -> None:
    tenant_id = await signed_up(console, browser)
    for number in range(1, 22):
        await console.budgets.create(tenant_id, per="feature", period="day", limit_nano=10**9, subject=f"f{number}")
        await console.limits.create(tenant_id, per="model", measure="requests", amount=number, window_s=1)
    page = await browser.open("/budgets")
    for prefix in ("/budgets?cursor=", "/budgets?limits="):
        more = next(link for link in page.links if link.startswith(prefix))
        await browser.open(more)
        assert browser.status == 200
    await browser.open("/budgets?cursor=nonsense")
    assert browser.status == 400
