"""Stage 3, route: the model a client names to the targets that can serve it, in order. A pure look-up."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

from tenfold.core.call import Call
from tenfold.core.errors import ModelNotFound
from tenfold.core.headers import header_lines
from tenfold.core.usage import Usage
from tenfold.providers.ports import Provider


class Cost(Protocol):
    """10^-9 USD."""

    @property
    def input_nano(self) -> int: ...
    @property
    def output_nano(self) -> int: ...
    @property
    def total_nano(self) -> int: ...


class Quote(Protocol):
    """The price of one model at one time."""

    @property
    def valid_until(self) -> datetime | None: ...

    def cost(self, usage: Usage) -> Cost: ...

    def bound(self, input_tokens: int, output_tokens: int) -> Cost:
        """What no call of at most so many tokens can exceed."""
        ...

    def rest_unknown(self, begun: Usage, output_tokens: int) -> Cost:
        """The same for a call whose input is told and whose output is not."""
        ...


class PriceList(Protocol):
    """The price of one target: its own quote, or the dated data's."""

    def quote(self, at: datetime) -> Quote | None: ...


def served_by(provider: str, model: str) -> str:
    """The reply headers that say who answered. Raises ValueError for a name with a line break."""
    return header_lines([("tenfold-provider", provider), ("tenfold-model", model)])


UNKNOWN_WINDOW = 2_097_152  # tokens a model may read whose size nobody knows
UNKNOWN_OUTPUT = 131_072  # tokens it may write, where neither request nor data says
_LEAST_OUTPUT = 4_096  # where the data knows less, it speaks of a default and not of a limit

# Models and variants that look things up before they answer, without being asked for it in the request.
_SEARCHES = re.compile(r"compound|search|sonar|:online$", re.IGNORECASE)

# What one image may be: the largest of the families' own formulas (Qwen 16,384; OpenAI's `original` 12,000; Claude
# 4,784; Gemini 3 2,240). gpt-4o-mini counts its tiles at 33 times those of gpt-4o: 2,833 + 8 * 5,667.
_IMAGE_TOKENS = 16_384
_MINI_IMAGE_TOKENS = 48_169


class Target:
    """One upstream model. Holds its current quote, so that a call looks no price up, and how large a call to it can be.

    `max_input_tokens`: of its context window; None, as for `max_output_tokens`: not known. `broken_streams`: what is
    charged when it does not tell its usage, see the setting of that name.
    """

    def __init__(
        self,
        *,
        provider: Provider,
        upstream_model: str,
        prices: PriceList,
        ask_usage: bool = True,
        max_input_tokens: int | None = None,
        max_output_tokens: int | None = None,
        broken_streams: Literal["bound", "received"] = "bound",
    ) -> None:
        self.provider = provider
        self.upstream_model = upstream_model
        self.ask_usage = ask_usage
        self.broken_streams = broken_streams
        self.window = max_input_tokens or UNKNOWN_WINDOW
        self.most_output = max(max_output_tokens or UNKNOWN_OUTPUT, _LEAST_OUTPUT)
        self.searches = _SEARCHES.search(upstream_model) is not None
        self.image_tokens = _MINI_IMAGE_TOKENS if "4o-mini" in upstream_model else _IMAGE_TOKENS
        self._served_by = served_by(provider.name, upstream_model)
        self._prices = prices
        self._quote: Quote | None = None
        self._quote_until_s = 0.0

    def mark(self, call: Call) -> None:
        """This is where the call goes."""
        call.provider, call.upstream_model, call.served_by = self.provider.name, self.upstream_model, self._served_by

    def quote(self, now_s: float) -> Quote | None:
        """The quote at `now_s` (Unix seconds); None when no price is known."""
        if now_s >= self._quote_until_s:
            self._quote = self._prices.quote(datetime.fromtimestamp(now_s, UTC))
            until = self._quote.valid_until if self._quote else None
            # Asked anew at least hourly, so that a price data refresh or a missed date cannot linger.
            self._quote_until_s = min(until.timestamp(), now_s + 3600) if until else now_s + 3600
        return self._quote


@dataclass(frozen=True, kw_only=True)
class Route:
    model: str  # as clients name it
    targets: tuple[Target, ...]


class Router:
    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: Mapping[str, Route] = {route.model: route for route in routes}

    @property
    def models(self) -> list[str]:
        return sorted(self._routes)

    def find(self, model: str) -> Route:
        """Raises ModelNotFound with the nearest name."""
        route = self._routes.get(model)
        if route is None:
            shown = model if len(model) <= 100 else f"{model[:100]}..."
            close = difflib.get_close_matches(model[:100], self._routes, n=1)
            hint = f" Did you mean `{close[0]}`?" if close else " GET /v1/models lists what there is."
            raise ModelNotFound(f"The model `{shown}` does not exist here.{hint}", param="model")
        return route
