"""When a cron expression says, in a time zone: five fields as Debian's cron reads them (crontab(5)), by cronsim.

Where the clock is put forward, a time of day that is left out comes right after the gap; where it is put back, one that
is there twice counts the first time. An expression that says `*` in its minutes or hours goes on by elapsed time.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from tenfold.core.errors import InvalidRequest

MAX_EXPRESSION = 200
_FIELDS = "minute, hour, day of month, month, day of week"
_NO_PLACES = frozenset({"localtime", "Factory"})  # of this machine, of none
_WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}


class Cron:
    """All times are in UTC."""

    def __init__(self, expression: str, zone: str) -> None:
        """Raises InvalidRequest."""
        self._zone = zone_named(zone)
        self._expression = _WORDS.get(expression.strip().lower(), expression)
        if len(expression) > MAX_EXPRESSION or len(self._expression.split()) != 5:
            words = ", ".join(_WORDS)
            raise InvalidRequest(
                f"cron: five fields are needed ({_FIELDS}), or one of {words}.",
                param="cron",
            )
        try:
            CronSim(self._expression, datetime.now(UTC))
        except CronSimError as error:
            raise InvalidRequest(f"cron: {error}. The fields are {_FIELDS}.", param="cron") from None

    def after(self, at: datetime) -> Iterator[datetime]:
        """The ticks after this moment, each later than the one before; none where there will never be any."""
        last = at
        for local in CronSim(self._expression, at.astimezone(self._zone)):
            tick = local.astimezone(UTC)
            # Of an hour that is there twice cronsim names the first, also to who asks in the second.
            if tick > last:
                last = tick
                yield tick

    def next(self, at: datetime) -> datetime | None:
        return next(self.after(at), None)

    def between(self, after: datetime, to: datetime) -> Iterator[datetime]:
        """The ticks behind `after`, up to and with `to`."""
        for tick in self.after(after):
            if tick > to:
                return
            yield tick


def zone_named(name: str) -> tzinfo:
    """Raises InvalidRequest."""
    if name == "UTC":
        return UTC
    if name not in _zones():
        way_out = "such as Europe/Berlin or UTC" if _zones() else "UTC is the only one: this machine has no tzdata"
        raise InvalidRequest(f"zone: there is no such time zone; it is a name of the IANA, {way_out}.", param="zone")
    return ZoneInfo(name)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - _NO_PLACES
