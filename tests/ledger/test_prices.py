"""Quotes and the book: exact amounts, tiers, dates, windows, bounds."""

import inspect
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.usage import Usage
from tenfold.ledger import prices as prices_module
from tenfold.ledger.data import Clause, DatedRates, ModelPrices, PriceData, ProviderPrices, Rates, Tiered
from tenfold.ledger.prices import PriceBook, Quote

from .samples import usages

AT = datetime(2026, 8, 15, 12, tzinfo=UTC)
USD_PER_MILLION = 10**9


def quote(**rates: int | Tiered) -> Quote:
    # structs refuse unknown names, so a typo here is an error
    return Quote(Rates(**rates), model_id="m", source="test")  # type: ignore[arg-type]


def book_of(*models: ModelPrices, fallback: list[str] | None = None, **others: list[ModelPrices]) -> PriceBook:
    providers = [ProviderPrices(id="p", name="P", models=list(models), fallback=fallback or [])]
    providers += [ProviderPrices(id=name, name=name, models=found) for name, found in others.items()]
    return PriceBook(PriceData(format=1, generated=date(2026, 1, 1), sources=[], providers=providers))


def model(name: str, *dated: DatedRates) -> ModelPrices:
    return ModelPrices(id=name, match=Clause(equals=name), prices=list(dated))


def flat(usd: int, **when: date | time) -> DatedRates:
    return DatedRates(rates=Rates(input=usd * USD_PER_MILLION, output=0), **when)  # type: ignore[arg-type]


def dollars(quoted: Quote | None) -> int:
    assert quoted is not None
    return quoted.cost(Usage(input_tokens=1_000_000)).input_nano // 10**9


# -- amounts ---------------------------------------------------------------------------------


def test_the_price_of_gpt_4o_mini(book: PriceBook) -> None:
    mini = book.quote("openai", "gpt-4o-mini", AT)
    assert mini is not None
    cost = mini.cost(Usage(input_tokens=1500, output_tokens=300, cache_read_tokens=1000))
    # 500 x 0.15 + 1000 x 0.075 and 300 x 0.60 USD per million
    assert (cost.input_nano, cost.output_nano, cost.total_nano) == (150_000, 180_000, 330_000)


def test_anthropic_cache_lifetimes_have_their_own_prices(book: PriceBook) -> None:
    sonnet = book.quote("anthropic", "claude-sonnet-4-5-20250929", AT)
    assert sonnet is not None
    usage = Usage(
        input_tokens=1000, cache_read_tokens=100, cache_write_tokens=500, cache_write_1h_tokens=200, output_tokens=10
    )
    # 400 x 3 + 100 x 0.30 + 300 x 3.75 + 200 x 6
    assert sonnet.cost(usage).input_nano == 400 * 3000 + 100 * 300 + 300 * 3750 + 200 * 6000


@pytest.mark.parametrize(("tokens", "nano"), [(1, 0), (3, 2), (5, 2), (7, 4), (2, 1)])
def test_halves_are_rounded_to_even(tokens: int, nano: int) -> None:
    half = quote(input=500_000, output=500_000)  # half of 10^-9 USD a token
    cost = half.cost(Usage(input_tokens=tokens, output_tokens=tokens))
    assert (cost.input_nano, cost.output_nano, cost.total_nano) == (nano, nano, 2 * nano)


def test_a_price_per_request_is_in_the_total(book: PriceBook) -> None:
    sonar = book.quote("perplexity", "sonar", AT)
    assert sonar is not None
    cost = sonar.cost(Usage(input_tokens=1000, output_tokens=1000))
    assert (cost.input_nano, cost.output_nano, cost.total_nano) == (1_000_000, 1_000_000, 14_000_000)
    assert sonar.bound(0, 0).total_nano == 12_000_000


def test_parts_without_a_price_cost_what_the_whole_costs() -> None:
    plain = quote(input=3 * USD_PER_MILLION, output=5 * USD_PER_MILLION)
    parts = Usage(
        input_tokens=100,
        output_tokens=50,
        cache_read_tokens=60,
        cache_write_tokens=20,
        cache_write_1h_tokens=10,
        input_audio_tokens=70,
        output_audio_tokens=5,
        reasoning_tokens=40,
    )
    assert plain.cost(parts) == plain.cost(Usage(input_tokens=100, output_tokens=50))


def test_audio_reasoning_and_images_have_their_own_prices() -> None:
    unit = USD_PER_MILLION
    quoted = quote(
        input=unit, cache_read=2 * unit, input_audio=10 * unit, cache_audio_read=5 * unit,
        output=unit, output_audio=20 * unit, output_image=30 * unit, reasoning=3 * unit,
    )  # fmt: skip
    usage = Usage(
        input_tokens=1000, cache_read_tokens=300, input_audio_tokens=200, cache_audio_read_tokens=50,
        output_tokens=100, output_audio_tokens=10, output_image_tokens=20, reasoning_tokens=30,
    )  # fmt: skip
    cost = quoted.cost(usage)
    # 550 plain, 250 cached text, 50 cached audio, 150 fresh audio; 40 plain, 10 audio, 20 images, 30 reasoning
    assert cost.input_nano == 1000 * (550 + 250 * 2 + 50 * 5 + 150 * 10)
    assert cost.output_nano == 1000 * (40 + 10 * 20 + 20 * 30 + 30 * 3)


def test_cached_audio_is_inferred_where_the_provider_does_not_tell() -> None:
    quoted = quote(input=USD_PER_MILLION, cache_read=USD_PER_MILLION // 2, input_audio=10 * USD_PER_MILLION)
    everything_cached = Usage(input_tokens=100, cache_read_tokens=100, input_audio_tokens=40)
    assert quoted.cost(everything_cached).input_nano == 100 * 500
    mostly = Usage(input_tokens=100, cache_read_tokens=80, input_audio_tokens=40)  # at least 20 of the audio cached
    assert quoted.cost(mostly).input_nano == 80 * 500 + 20 * 10_000


def test_parts_beyond_their_total_are_billed_as_stated_and_never_negative() -> None:
    quoted = quote(input=10 * USD_PER_MILLION, cache_read=USD_PER_MILLION, output=1, reasoning=USD_PER_MILLION)
    cost = quoted.cost(Usage(input_tokens=10, cache_read_tokens=100, output_tokens=1, reasoning_tokens=100))
    assert (cost.input_nano, cost.output_nano) == (100_000, 100_000)


# -- tiers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "rate", "output_rate"),
    [(200_000, 1250, 10_000), (200_001, 2500, 15_000), (1, 1250, 10_000), (1_000_000, 2500, 15_000)],
)
def test_a_tier_begins_above_its_edge_and_holds_for_every_token(
    book: PriceBook, tokens: int, rate: int, output_rate: int
) -> None:
    pro = book.quote("google", "gemini-2.5-pro", AT)
    assert pro is not None
    cost = pro.cost(Usage(input_tokens=tokens, output_tokens=10))
    assert (cost.input_nano, cost.output_nano) == (tokens * rate, 10 * output_rate)


def test_prices_with_different_edges() -> None:
    quoted = quote(
        input=Tiered(base=1_000_000, tiers=[(100, 2_000_000), (300, 4_000_000)]),
        output=Tiered(base=1_000_000, tiers=[(200, 3_000_000)]),
    )
    seen = {}
    for tokens in (100, 101, 200, 201, 301):
        cost = quoted.cost(Usage(input_tokens=tokens, output_tokens=1))
        seen[tokens] = (cost.input_nano // tokens, cost.output_nano)
    assert seen == {100: (1, 1), 101: (2, 1), 200: (2, 1), 201: (2, 3), 301: (4, 3)}


# -- dates and windows -----------------------------------------------------------------------


def test_a_dated_price_begins_on_its_day(book: PriceBook) -> None:
    before = book.quote("anthropic", "claude-sonnet-5", datetime(2026, 8, 31, 23, 59, 59, tzinfo=UTC))
    assert dollars(before) == 2
    assert before is not None and before.valid_until == datetime(2026, 9, 1, tzinfo=UTC)
    after = book.quote("anthropic", "claude-sonnet-5", datetime(2026, 9, 1, tzinfo=UTC))
    assert dollars(after) == 3
    assert after is not None and after.valid_until is None
    assert dollars(book.quote("anthropic", "claude-sonnet-5", AT)) == 2  # the clock of a replay goes back


def test_the_day_is_that_of_utc(book: PriceBook) -> None:
    tokyo = timezone(timedelta(hours=9))
    assert dollars(book.quote("anthropic", "claude-sonnet-5", datetime(2026, 9, 1, 3, tzinfo=tokyo))) == 2


@pytest.mark.parametrize(
    ("clock", "cheap", "until"),
    [
        (time(0, 0), True, datetime(2026, 8, 15, 0, 30, tzinfo=UTC)),
        (time(0, 30), False, datetime(2026, 8, 15, 16, 30, tzinfo=UTC)),
        (time(16, 29, 59), False, datetime(2026, 8, 15, 16, 30, tzinfo=UTC)),
        (time(16, 30), True, datetime(2026, 8, 16, 0, 30, tzinfo=UTC)),
        (time(23, 59), True, datetime(2026, 8, 16, 0, 30, tzinfo=UTC)),
    ],
)
def test_a_daily_window(book: PriceBook, clock: time, cheap: bool, until: datetime) -> None:
    quoted = book.quote("deepseek", "deepseek-reasoner", datetime.combine(AT.date(), clock, UTC))
    assert quoted is not None
    nano = quoted.cost(Usage(input_tokens=1_000_000)).input_nano
    assert (nano, quoted.valid_until) == (135_000_000 if cheap else 550_000_000, until)


def test_a_window_over_midnight() -> None:
    night = model("m", flat(4), flat(1, from_time=time(22), to_time=time(6)))
    book = book_of(night)
    hours = {hour: dollars(book.quote("p", "m", AT.replace(hour=hour))) for hour in (0, 5, 6, 12, 21, 22, 23)}
    assert hours == {0: 1, 5: 1, 6: 4, 12: 4, 21: 4, 22: 1, 23: 1}


def test_of_several_prices_the_last_that_holds_wins() -> None:
    book = book_of(model("m", flat(1), flat(2, from_date=date(2026, 1, 1)), flat(3, from_date=date(2026, 6, 1))))
    days = [datetime(2025, 12, 31, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)]
    assert [dollars(book.quote("p", "m", day)) for day in days] == [1, 2, 3]


@given(st.integers(0, 2 * 365 * 86_400), st.integers(0, 3 * 86_400))
def test_a_quote_is_right_until_it_expires(start_s: int, seconds: int) -> None:
    priced = model("m", flat(1), flat(2, from_date=date(2026, 3, 1)), flat(3, from_time=time(22), to_time=time(6)))
    at = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=start_s)
    later = at + timedelta(seconds=seconds)
    held = book_of(priced).quote("p", "m", at)
    assert held is not None
    if held.valid_until is None or later < held.valid_until:
        assert dollars(held) == dollars(book_of(priced).quote("p", "m", later))


# -- the book --------------------------------------------------------------------------------


def test_an_unknown_model_or_provider_has_no_price(book: PriceBook) -> None:
    assert book.quote("openai", "no-such-model", AT) is None
    assert book.quote("no-such-provider", "gpt-4o", AT) is None
    assert book.quote("openai", "", AT) is None


def test_a_target_is_resolved_once(book: PriceBook) -> None:
    assert book.quote("openai", "gpt-4o", AT) is book.quote("openai", "gpt-4o", AT + timedelta(days=1))


def test_the_cache_of_quotes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices_module, "MAX_CACHED_QUOTES", 10)
    book = book_of(model("m", flat(1)))
    for n in range(100):
        assert book.quote("p", f"guess-{n}", AT) is None
    assert len(book._quotes) == 10
    assert dollars(book.quote("p", "m", AT)) == 1


def test_letter_case_does_not_count() -> None:
    assert dollars(book_of(model("Qwen/QwQ", flat(1))).quote("p", "qwen/qwq", AT)) == 1


def test_a_reseller_has_the_prices_of_what_it_resells_after_its_own() -> None:
    book = book_of(model("own", flat(1)), fallback=["other"], other=[model("own", flat(2)), model("theirs", flat(3))])
    assert dollars(book.quote("p", "own", AT)) == 1
    assert dollars(book.quote("p", "theirs", AT)) == 3
    assert book.quote("other", "absent", AT) is None


@pytest.mark.parametrize(
    ("clause", "name", "fits"),
    [
        (Clause(equals="gpt-4o"), "gpt-4o", True),
        (Clause(equals="gpt-4o"), "gpt-4o-mini", False),
        (Clause(starts_with="gpt-"), "gpt-4o", True),
        (Clause(ends_with="-mini"), "gpt-4o-mini", True),
        (Clause(ends_with="-mini"), "mini-gpt", False),
        (Clause(contains="4o"), "gpt-4o-mini", True),
        (Clause(regex="^o[134]"), "o3-mini", True),
        (Clause(regex="^o[134]"), "gpt-o3", False),
        (Clause(any_of=[Clause(equals="a"), Clause(equals="b")]), "b", True),
        (Clause(all_of=[Clause(contains="a"), Clause(contains="b")]), "a-b", True),
        (Clause(all_of=[Clause(contains="a"), Clause(contains="b")]), "a", False),
        (Clause(), "a", False),
    ],
)
def test_clauses(clause: Clause, name: str, fits: bool) -> None:
    assert clause.matches(name) is fits


@pytest.mark.parametrize(
    ("base_url", "kind", "provider_id"),
    [
        ("https://api.openai.com/v1", "openai", "openai"),
        ("https://api.anthropic.com", "anthropic", "anthropic"),
        ("https://generativelanguage.googleapis.com", "gemini", "google"),
        ("https://api.groq.com/openai/v1", "openai", "groq"),
        ("https://openrouter.ai/api/v1", "openai", "openrouter"),
        ("https://my-resource.openai.azure.com/openai", "openai", "azure"),
        ("https://api.deepseek.com", "openai", "deepseek"),
        ("http://127.0.0.1:9100/v1", "openai", "openai"),
        ("http://127.0.0.1:9100", "anthropic", "anthropic"),
        ("http://127.0.0.1:9100", "gemini", "google"),
        ("https://evil.example/?https://api.groq.com", "openai", "openai"),
        ("", "offline", "offline"),
    ],
)
def test_whose_prices_hold_at_an_address(book: PriceBook, base_url: str, kind: str, provider_id: str) -> None:
    assert book.provider_for(base_url, kind) == provider_id


# -- prices set by the user ------------------------------------------------------------------


def test_prices_set_by_the_user() -> None:
    own = Quote.from_usd_per_million(input="0.15", output=Decimal("0.60"), cache_read="0.075", cache_write=1)
    usage = Usage(input_tokens=1000, output_tokens=1000, cache_read_tokens=100, cache_write_tokens=100)
    cost = own.cost(usage)
    assert (cost.input_nano, cost.output_nano) == (800 * 150 + 100 * 75 + 100 * 1000, 600_000)
    assert (own.source, own.valid_until) == ("configuration", None)


@pytest.mark.parametrize("amount", ["-1", "cheap", "NaN", "Infinity", 0.15, True])
def test_what_is_no_price_is_refused(amount: object) -> None:
    with pytest.raises(ValueError, match=r"amount|price"):
        Quote.from_usd_per_million(input=amount, output=1)  # type: ignore[arg-type]


# -- properties ------------------------------------------------------------------------------

rates = st.integers(0, 200 * USD_PER_MILLION)
tiered = st.builds(
    lambda base, step, price: Tiered(base=base, tiers=[(step, price)]), rates, st.integers(1, 300_000), rates
)
optional = st.none() | rates | tiered
quotes = st.builds(
    lambda **prices: Quote(Rates(**prices), model_id="m", source="test"),
    input=rates | tiered,
    output=rates | tiered,
    cache_read=optional,
    cache_write=optional,
    cache_write_1h=optional,
    input_audio=optional,
    cache_audio_read=optional,
    output_audio=optional,
    output_image=optional,
    reasoning=optional,
    request=st.none() | st.integers(0, 10**8),
)
flat_quotes = st.builds(
    lambda price, out, request: quote(input=price, output=out, request=request), rates, rates, st.integers(0, 10**8)
)


@given(quotes, usages())
def test_amounts_are_whole_and_never_negative(quoted: Quote, usage: Usage) -> None:
    cost = quoted.cost(usage)
    for amount in (cost.input_nano, cost.output_nano, cost.total_nano):
        assert type(amount) is int
        assert amount >= 0
    assert cost.total_nano - cost.input_nano - cost.output_nano == quoted.cost(Usage()).total_nano


@given(quotes, usages(), st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_bound_holds_for_any_usage_within_it(
    quoted: Quote, usage: Usage, more_input: int, more_output: int
) -> None:
    bound = quoted.bound(usage.input_tokens + more_input, usage.output_tokens + more_output)
    cost = quoted.cost(usage)
    assert type(bound.total_nano) is int
    assert cost.input_nano <= bound.input_nano
    assert cost.output_nano <= bound.output_nano
    assert cost.total_nano <= bound.total_nano


@given(quotes, usages(), st.integers(0, 10_000))
def test_what_the_rest_may_cost_holds_for_any_output_within_it(quoted: Quote, usage: Usage, more: int) -> None:
    most = quoted.rest_unknown(usage, usage.output_tokens + more)
    cost = quoted.cost(usage)
    assert most.input_nano == cost.input_nano
    assert cost.total_nano <= most.total_nano


@given(flat_quotes, st.lists(usages(), min_size=1, max_size=8))
def test_costs_add_up_within_the_rounding(quoted: Quote, calls: list[Usage]) -> None:
    """Each call is rounded once for input and once for output: half of 10^-9 USD at most."""
    whole = Usage(
        input_tokens=sum(usage.input_tokens for usage in calls),
        output_tokens=sum(usage.output_tokens for usage in calls),
    )
    parts = [quoted.cost(usage) for usage in calls]
    together = quoted.cost(whole)
    assert abs(sum(part.input_nano for part in parts) - together.input_nano) <= Fraction(len(calls) + 1, 2)
    assert abs(sum(part.output_nano for part in parts) - together.output_nano) <= Fraction(len(calls) + 1, 2)


@given(flat_quotes, usages(), st.integers(0, 100_000), st.integers(0, 100_000))
def test_more_tokens_never_cost_less(quoted: Quote, usage: Usage, more_input: int, more_output: int) -> None:
    fewer = Usage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
    more = Usage(input_tokens=usage.input_tokens + more_input, output_tokens=usage.output_tokens + more_output)
    assert quoted.cost(fewer).total_nano <= quoted.cost(more).total_nano


@given(rates, rates, rates, usages())
def test_the_amount_is_the_decimal_one(price: int, cached: int, out: int, usage: Usage) -> None:
    quoted = quote(input=price, cache_read=cached, output=out)
    read, fresh = usage.cache_read_tokens, usage.input_tokens - usage.cache_read_tokens
    exact = (Decimal(fresh) * price + Decimal(read) * cached) / 1_000_000
    cost = quoted.cost(usage)
    assert cost.input_nano == int(exact.quantize(Decimal(1), ROUND_HALF_EVEN))
    assert cost.output_nano == int(
        (Decimal(usage.output_tokens) * out / 1_000_000).quantize(Decimal(1), ROUND_HALF_EVEN)
    )


def test_there_is_no_float_in_the_arithmetic_of_money() -> None:
    source = inspect.getsource(prices_module)
    assert "/ " not in source.replace("// ", "")  # true division is where floats come from
    assert "round(" not in source


# -- the batch tier --------------------------------------------------------------------------


def test_a_batch_tier_takes_its_part_of_every_price_rounded_up() -> None:
    rates = Rates(input=5, output=Tiered(base=7, tiers=[(100, 9)]), request=11)
    priced = ModelPrices(id="m", match=Clause(equals="m"), prices=[DatedRates(rates=rates)], batch_percent=50)
    found = book_of(priced).batch_quote("p", "m", AT)
    assert found is not None
    expected = quote(input=3, output=Tiered(base=4, tiers=[(100, 5)]), request=11)
    for used in (Usage(input_tokens=1_000_000, output_tokens=10**6), Usage(input_tokens=50, output_tokens=10**9)):
        assert found.cost(used) == expected.cost(used)


def test_a_model_without_a_tier_has_no_price_there() -> None:
    book = book_of(model("m", flat(1)))
    assert book.batch_quote("p", "m", AT) is None
    assert book.batch_quote("p", "unknown", AT) is None
    assert book.batch_quote("nobody", "m", AT) is None
