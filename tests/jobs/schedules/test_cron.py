"""When a cron expression says, above all where clocks are changed."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import InvalidRequest
from tenfold.jobs.schedules.cron import Cron

BERLIN = "Europe/Berlin"  # 2026: forward on 29 March, 2:00 to 3:00; back on 25 October, 3:00 to 2:00


def ticks(cron: str, zone: str, after: str, count: int) -> list[str]:
    """In local time."""
    found = islice(Cron(cron, zone).after(datetime.fromisoformat(after).astimezone(UTC)), count)
    return [tick.astimezone(ZoneInfo(zone)).strftime("%d %H:%M %z") for tick in found]


@pytest.mark.parametrize(
    ("cron", "after", "said"),
    [
        # A time that is there every day.
        ("30 9 * * *", "2026-03-28T12:00+01:00", ["29 09:30 +0200", "30 09:30 +0200"]),
        # One that is left out comes right behind the gap, once.
        ("30 2 * * *", "2026-03-28T12:00+01:00", ["29 03:00 +0200", "30 02:30 +0200"]),
        ("0,30 2 * * *", "2026-03-28T12:00+01:00", ["29 03:00 +0200", "30 02:00 +0200", "30 02:30 +0200"]),
        # One that is there twice counts the first time.
        ("30 2 * * *", "2026-10-24T12:00+02:00", ["25 02:30 +0200", "26 02:30 +0100"]),
        ("30 2 * * *", "2026-10-25T02:10+01:00", ["26 02:30 +0100"]),
        # What goes on by the minute or the hour does so by elapsed time.
        ("0 * * * *", "2026-03-29T00:30+01:00", ["29 01:00 +0100", "29 03:00 +0200", "29 04:00 +0200"]),
        ("0 * * * *", "2026-10-25T01:30+02:00", ["25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100"]),
        ("*/30 2 * * *", "2026-10-25T01:30+02:00", ["25 02:00 +0200", "25 02:30 +0200", "25 02:00 +0100"]),
        # Last day of the month, the second Monday.
        ("0 0 L * *", "2026-01-30T12:00+01:00", ["31 00:00 +0100", "28 00:00 +0100"]),
        ("0 8 * * MON#2", "2026-01-01T00:00+01:00", ["12 08:00 +0100", "09 08:00 +0100"]),
        ("@daily", "2026-03-28T12:00+01:00", ["29 00:00 +0100", "30 00:00 +0200"]),
    ],
)
def test_where_clocks_are_changed(cron: str, after: str, said: list[str]) -> None:
    assert ticks(cron, BERLIN, after, len(said)) == said


def test_a_zone_of_half_an_hour() -> None:
    """Lord Howe puts its clock forward by 30 minutes, from 2:00 to 2:30, on 4 October 2026."""
    assert ticks("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00+10:30", 2) == [
        "04 02:30 +1100",
        "05 02:15 +1100",
    ]


@pytest.mark.parametrize(
    ("cron", "zone", "param"),
    [
        ("", "UTC", "cron"),
        ("* * * *", "UTC", "cron"),
        ("* * * * * *", "UTC", "cron"),  # no seconds
        ("60 * * * *", "UTC", "cron"),
        ("0 0 30 2 *", "UTC", "cron"),
        ("0 0 * * FOO", "UTC", "cron"),
        ("@reboot", "UTC", "cron"),
        ("0 " * 300, "UTC", "cron"),
        ("* * * * *", "Mars/Olympus", "zone"),
        ("* * * * *", "", "zone"),
        ("* * * * *", "../../etc/passwd", "zone"),
        ("* * * * *", "localtime", "zone"),
        ("* * * * *", "europe/berlin", "zone"),
        ("* * * * *", "Europe", "zone"),
    ],
)
def test_what_cannot_be_read(cron: str, zone: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Cron(cron, zone)
    assert refused.value.param == param
    assert param == "zone" or "minute, hour, day of month, month, day of week" in refused.value.message


_fields = (
    st.sampled_from(["*", "*/5", "0", "30", "0,30", "59", "10-12"]),
    st.sampled_from(["*", "*/2", "0", "1", "2", "3", "2,3", "23", "1-4"]),
    st.sampled_from(["*", "*", "1", "29", "25-26", "L"]),
    st.sampled_from(["*", "*", "3", "10", "3,10,4"]),
    st.sampled_from(["*", "*", "SUN", "1-5"]),
)
_zones = st.sampled_from(
    ["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo", "Africa/Cairo"]
)
_YEARS_S = 15 * 366 * 86_400
_moments = st.integers(0, _YEARS_S).map(lambda seconds: datetime(2015, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))
_days = [datetime(2026, month, day, tzinfo=UTC) for month, day in ((3, 28), (10, 24), (3, 8), (11, 1), (10, 3), (4, 4))]
_near_changes = st.builds(
    lambda day, seconds: day + timedelta(seconds=seconds), st.sampled_from(_days), st.integers(0, 2 * 86_400)
)


@settings(max_examples=150, deadline=None)
@given(st.tuples(*_fields).map(" ".join), _zones, st.one_of(_moments, _near_changes))
def test_ticks_go_forward_and_do_not_depend_on_where_one_begins(cron: str, zone: str, moment: datetime) -> None:
    when, start = Cron(cron, zone), moment
    found = list(islice(when.after(start), 12))
    assert all(start < one < other for one, other in pairwise(found))
    assert all(tick.second == tick.microsecond == 0 for tick in found)
    for number, tick in enumerate(found[:-1]):
        assert when.next(tick) == found[number + 1]
        assert when.next(found[number + 1] - timedelta(seconds=1)) == found[number + 1]


def test_what_is_between() -> None:
    when = Cron("*/10 * * * *", "UTC")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    found = list(when.between(start, start + timedelta(minutes=30)))
    assert [tick.minute for tick in found] == [10, 20, 30]
    assert list(when.between(start, start)) == []
