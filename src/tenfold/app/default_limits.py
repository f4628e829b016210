"""The limits of the settings: they hold for every tenant unless the operator made others for it."""

from collections.abc import Iterator

from tenfold.app.setting_tables import LimitSettings
from tenfold.core.money import from_usd
from tenfold.limits.types import PERS, Limit, default_limit

_MINUTE_S, _HOUR_S = 60, 3600


def default_limits(settings: LimitSettings) -> list[Limit]:
    return list(_all(settings))


def _all(settings: LimitSettings) -> Iterator[Limit]:
    values = settings.model_dump()
    for per in PERS:
        if (requests := values[f"{per}_requests_per_minute"]) is not None:
            yield default_limit(per, "requests", requests, _MINUTE_S)
        if (tokens := values[f"{per}_tokens_per_minute"]) is not None:
            yield default_limit(per, "tokens", tokens, _MINUTE_S)
        if (usd := values[f"{per}_usd_per_hour"]) is not None:
            yield default_limit(per, "usd", from_usd(usd), _HOUR_S)
        if (at_once := values[f"{per}_concurrency"]) is not None:
            yield default_limit(per, "concurrency", at_once, None)
