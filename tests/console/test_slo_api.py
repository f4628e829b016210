"""How the pathways stand, by API: for keys that may see usage, and without how many calls there were."""

import httpx

from tenfold.console.services import SloIndicator, SloStanding
from tests.console.test_api import bearer
from tests.support.console import FakeConsole

WHOLE = SloStanding(
    name="end_to_end",
    pathway="end_to_end",
    feature=None,
    model=None,
    window_days=30,
    alerts=True,
    p95_budget_ms=1500,
    p50_ms=310.5,
    p95_ms=1480.0,
    p99_ms=None,
    latency=SloIndicator(objective=0.95, burn_rates={"5m": 0.4, "1h": 0.2}, budget_left=0.9),
    availability=SloIndicator(objective=0.999, burn_rates={"5m": 20.0}, budget_left=-1.5, firing=("page", "ticket")),
)


async def test_each_pathway_is_told_with_its_budget(console: FakeConsole, api: httpx.AsyncClient) -> None:
    console.slo.told = [WHOLE]
    reply = await api.get("/api/v1/slo", headers=await bearer(console, "usage"))
    assert reply.json() == {
        "data": [
            {
                "name": "end_to_end",
                "pathway": "end_to_end",
                "feature": None,
                "model": None,
                "window_days": 30,
                "alerts": True,
                "p95_budget_ms": 1500,
                "p50_ms": 310.5,
                "p95_ms": 1480.0,
                "p99_ms": None,
                "latency": {
                    "objective": 0.95,
                    "burn_rates": {"5m": 0.4, "1h": 0.2},
                    "budget_left": 0.9,
                    "firing": [],
                },
                "availability": {
                    "objective": 0.999,
                    "burn_rates": {"5m": 20.0},
                    "budget_left": -1.5,
                    "firing": ["page", "ticket"],
                },
            }
        ]
    }


async def test_it_is_not_for_every_key(console: FakeConsole, api: httpx.AsyncClient) -> None:
    assert (await api.get("/api/v1/slo")).status_code == 401
    assert (await api.get("/api/v1/slo", headers=await bearer(console, "inference"))).status_code == 403
