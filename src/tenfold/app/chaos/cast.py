"""Who takes part: models and their prices, tenants with their keys, and the budgets that hold them. Values only.

Some budgets are far too small for the run, so that calls meet their end; some are never reached.
"""

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from tenfold.ledger.budgets.types import Per, Period
from tenfold.ledger.prices import Quote

NANO_PER_SECOND = 1_200_000
"""What a tenant may spend a second where its budget is to end during the run: about half of what it asks for."""

RUN_NANO = 15_000_000


class Model(Struct, frozen=True, kw_only=True):
    """Prices in USD per million tokens; such that a cost must be rounded."""

    name: str
    provider: Literal["openai", "anthropic"]
    input: str
    output: str
    cache_read: str

    @property
    def quote(self) -> Quote:
        return Quote.from_usd_per_million(input=self.input, output=self.output, cache_read=self.cache_read)


MODELS = (
    Model(name="chaos-small", provider="openai", input="0.1505", output="0.6037", cache_read="0.0755"),
    Model(name="chaos-large", provider="anthropic", input="3.0003", output="15.0007", cache_read="0.3001"),
)


EITHER = "chaos-either"
"""A model of several targets: the next one is asked where the one before fails, answered or not."""

CLIENT_MODELS = (*(model.name for model in MODELS), EITHER)


class PlannedBudget(Struct, frozen=True, kw_only=True):
    """`subject`: a key is named by its place in the tenant. None: each has this much for itself."""

    per: Per
    period: Period
    limit_nano: int
    subject: str | None = None
    hard: bool = True


class PlannedTenant(Struct, frozen=True, kw_only=True):
    slug: str
    keys: int = 2
    features: tuple[str | None, ...] = (None,)
    runs: int = 0  # agent runs under way at once
    budgets: tuple[PlannedBudget, ...] = ()


def tenants(seconds: float) -> tuple[PlannedTenant, ...]:
    """The cast of a run of so many seconds."""
    some = int(NANO_PER_SECOND * max(seconds, 5.0))
    return (
        PlannedTenant(slug="free", budgets=(PlannedBudget(per="tenant", period="day", limit_nano=some, hard=False),)),
        PlannedTenant(slug="daily", budgets=(PlannedBudget(per="tenant", period="day", limit_nano=some),)),
        PlannedTenant(
            slug="keyed",
            budgets=(
                PlannedBudget(per="key", period="total", limit_nano=some // 2, subject="0"),
                PlannedBudget(per="tenant", period="month", limit_nano=100 * some),
            ),
        ),
        PlannedTenant(
            slug="featured",
            features=("search", "chat", "summary"),
            budgets=(
                PlannedBudget(per="feature", period="day", limit_nano=some // 3),
                PlannedBudget(per="feature", period="total", limit_nano=some // 6, subject="search"),
                PlannedBudget(per="model", period="month", limit_nano=some // 2, subject="chaos-large"),
            ),
        ),
        PlannedTenant(
            slug="running",
            runs=4,
            budgets=(
                PlannedBudget(per="run", period="total", limit_nano=RUN_NANO),
                PlannedBudget(per="endpoint", period="day", limit_nano=2 * some, subject="chat"),
            ),
        ),
        PlannedTenant(
            slug="tiny", keys=1, budgets=(PlannedBudget(per="tenant", period="total", limit_nano=12_000_000),)
        ),
    )


def configuration(port: int) -> str:
    """The tenfold.toml of the run; `port`: the scripted provider's."""
    return "\n".join([*_providers(port), *_models(), *_REST])


def _providers(port: int) -> Iterator[str]:
    for name, base, lookup in (
        ("openai", f"http://127.0.0.1:{port}/v1", "/usage/{request_id}"),
        ("anthropic", f"http://127.0.0.1:{port}", "/v1/usage/{request_id}"),
    ):
        yield from (f"[providers.{name}]", f'kind = "{name}"', f'base_url = "{base}"', f'usage_lookup = "{lookup}"')
        yield from (f"idle_timeout_s = {IDLE_TIMEOUT_S}", f"first_byte_timeout_s = {IDLE_TIMEOUT_S}", "")


def _models() -> Iterator[str]:
    for model in MODELS:
        yield from (f'[models."{model.name}"]', f'provider = "{model.provider}"', "max_output_tokens = 400")
        yield from (_price(model), "")
    yield from (f'[models."{EITHER}"]', "max_output_tokens = 400", "")
    for model in MODELS:
        yield from (f'[[models."{EITHER}".targets]]', f'provider = "{model.provider}"', f'upstream = "{model.name}"')
        yield from (_price(model), "")


def _price(model: Model) -> str:
    return f'price = {{ input = "{model.input}", output = "{model.output}", cache_read = "{model.cache_read}" }}'


IDLE_TIMEOUT_S = 3.0
STALL_S = 2 * IDLE_TIMEOUT_S

_REST = (
    "[limits]",
    "key_requests_per_minute = 6000",
    "tenant_concurrency = 40",
    "end_user_requests_per_minute = 120",
    "",
    "[telemetry]",
    "log_calls = false",
)
