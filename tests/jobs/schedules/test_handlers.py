"""The rules of schedules: what may be made, changed and seen, by whom."""

from typing import Any

import pytest

from tenfold.core.clock import FakeClock
from tenfold.core.errors import Conflict, InvalidRequest, NotFound
from tenfold.jobs.schedules.fake import FakeScheduleRows
from tenfold.jobs.schedules.handlers import ScheduleAdmin, next_runs, schedule_name
from tests.jobs.schedules.parts import Made, after, principal

ASKED = {"of": [1]}


class Here:
    def __init__(self, most: int = 100) -> None:
        self.clock = FakeClock()
        self.rows = FakeScheduleRows(self.clock)
        self.made = Made(self.clock)
        self.admin = ScheduleAdmin(self.rows, self.made.submissions, most=most)
        self.who = principal()

    async def create(self, name: str = "nightly", **given: Any) -> Any:
        defaults = {"cron": "0 2 * * *", "zone": "Europe/Berlin", "kind": "sum", "asked": ASKED}
        return await self.admin.create(self.who, name, **{**defaults, **given})


async def test_a_schedule_is_made_read_changed_and_removed() -> None:
    here = Here()
    made = await here.create()
    assert (made.next_at, made.missed) == (after(3600), "last")  # 2:00 in Berlin is 1:00 UTC
    assert [run.hour for run in next_runs(made)] == [1] * 5
    name = schedule_name(made.id)
    assert await here.admin.find(here.who.tenant_id, name) == made
    changed = await here.admin.change(here.who.tenant_id, name, zone="UTC", name="n2", missed="all", asked={"of": 2})
    assert (changed.next_at, changed.name, changed.missed, changed.asked) == (after(7200), "n2", "all", b'{"of":2}')
    assert changed.version == 2
    paused = await here.admin.change(here.who.tenant_id, name, paused=True)
    assert (paused.next_at, next_runs(paused)) == (None, [])
    here.clock.advance(10 * 86_400)
    resumed = await here.admin.change(here.who.tenant_id, name, paused=False)
    assert resumed.next_at == after(10 * 86_400 + 7200)  # those of the pause were not missed
    await here.admin.remove(here.who.tenant_id, name)
    for again in (here.admin.find, here.admin.remove, here.admin.run):
        with pytest.raises(NotFound):
            await again(here.who.tenant_id, name)


async def test_a_change_of_something_else_loses_no_tick() -> None:
    here = Here()
    made = await here.create()
    here.clock.advance(2 * 3600)
    changed = await here.admin.change(here.who.tenant_id, schedule_name(made.id), name="other")
    assert changed.next_at == after(3600)


async def test_it_is_done_once_now() -> None:
    here = Here()
    made = await here.create(paused=True)
    job = await here.admin.run(here.who.tenant_id, schedule_name(made.id))
    assert await here.made.jobs.input(job.tenant_id, job.id) == b'{"of":[1]}'
    assert (await here.admin.find(here.who.tenant_id, schedule_name(made.id))).last_job is None


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"cron": "* * * *"}, "cron"),
        ({"cron": ""}, "cron"),
        ({"zone": "Nowhere"}, "zone"),
        ({"zone": ""}, "zone"),
        ({"kind": "other"}, "kind"),
        ({"asked": []}, "input.of"),
        ({"asked": {"of": "x" * 70_000}}, "input"),
        ({"missed": "some"}, "missed"),
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "x" * 101}, "name"),
    ],
)
async def test_what_cannot_be(given: dict[str, Any], param: str) -> None:
    here = Here()
    with pytest.raises(InvalidRequest) as refused:
        await here.create(**given)
    assert refused.value.param == param
    if param != "kind":
        made = await here.create()
        with pytest.raises(InvalidRequest):
            await here.admin.change(here.who.tenant_id, schedule_name(made.id), **given)
        assert await here.admin.find(here.who.tenant_id, schedule_name(made.id)) == made


async def test_an_unknown_kind_is_told_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match="known are: sum"):
        await Here().create(kind="call")


async def test_there_are_so_many_and_names_once() -> None:
    here = Here(most=2)
    await here.create()
    with pytest.raises(Conflict, match="nightly"):
        await here.create()
    await here.create("b")
    with pytest.raises(Conflict, match="at most 2"):
        await here.create("c")


async def test_pages() -> None:
    here = Here()
    made = sorted([await here.create(f"n{number}") for number in range(3)], key=lambda one: one.id)
    first = await here.admin.list(here.who.tenant_id, limit=2)
    rest = await here.admin.list(here.who.tenant_id, cursor=first.cursor, limit=2)
    assert (first.items + rest.items, rest.cursor) == (made[::-1], None)
    for options in ({"limit": 0}, {"limit": 101}, {"cursor": "x"}):
        with pytest.raises(InvalidRequest):
            await here.admin.list(here.who.tenant_id, **options)


async def test_another_tenants_schedules_do_not_exist() -> None:
    here = Here()
    made, other = await here.create(), principal()
    name = schedule_name(made.id)
    assert (await here.admin.list(other.tenant_id)).items == []
    for refused in (
        here.admin.find(other.tenant_id, name),
        here.admin.change(other.tenant_id, name, paused=True),
        here.admin.remove(other.tenant_id, name),
        here.admin.run(other.tenant_id, name),
    ):
        with pytest.raises(NotFound):
            await refused
    assert await here.admin.find(here.who.tenant_id, name) == made
