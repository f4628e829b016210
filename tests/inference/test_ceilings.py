"""A call that may cost too much is refused before any provider is asked, in words and figures the SDKs carry."""

from decimal import Decimal
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from msgspec import json, structs

from tenfold.core.call import CallOptions
from tenfold.core.errors import BudgetExceeded
from tenfold.core.principal import SCOPE_APPROVE
from tenfold.inference.ceilings import Ceilings
from tests.support.pipeline import MODEL, Client, NoPrice, World, asking, whole

CLIENTS = ["openai", "anthropic"]
CENT = 10_000_000  # 10^-9 USD
DEAR = {"max_tokens": 100_000}  # 0.2 USD here


def world_with(ceilings: Ceilings) -> World:
    return World({"openai": lambda request: whole("openai")}, ceilings=ceilings)


def raised(client: str, told: Client) -> Any:
    """The error as the vendor's SDK raises it."""
    if client == "openai":
        sdk: Any = openai.OpenAI(api_key="k", base_url="http://tenfold/v1", http_client=answering(told), max_retries=0)
        with pytest.raises(openai.APIStatusError) as caught:
            sdk.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}])
        return caught.value
    sdk = anthropic.Anthropic(api_key="k", base_url="http://tenfold", http_client=answering(told), max_retries=0)
    with pytest.raises(anthropic.APIStatusError) as raised_there:
        sdk.messages.create(model=MODEL, max_tokens=9, messages=[{"role": "user", "content": "Hi"}])
    return raised_there.value


def answering(told: Client) -> httpx2.Client:
    return httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(told.status, content=told.body)))


def error_of(client: str, told: Client) -> Any:
    error = raised(client, told)
    assert error.status_code == 402
    return error.body if client == "openai" else error.body["error"]


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_call_over_the_ceiling_of_a_request_reaches_nobody(client: str) -> None:
    world = world_with(Ceilings(request_nano=CENT))
    told = await world.ask(asking(client, **DEAR), client)
    assert not world.sent
    error = error_of(client, told)
    assert "0.01 USD" in error["message"]
    assert "Tenfold-Approve-Cost-Usd" in error["message"]
    assert Decimal(error["details"]["bound_usd"]) > Decimal("0.2")
    assert error["details"]["ceiling_usd"] == "0.01"
    if client == "openai":
        assert (error["type"], error["code"]) == ("invalid_request_error", "cost_ceiling_exceeded")
        assert error["param"] == "max_tokens"
    else:
        assert error["type"] == "billing_error"
    call = world.outcomes.only
    assert (call.status, call.cost_nano) == ("error", None)
    assert world.admission.budgets.reservations == 0
    world.assert_settled()


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_call_within_it_is_made(client: str) -> None:
    world = world_with(Ceilings(request_nano=CENT))
    told = await world.ask(asking(client, max_tokens=100), client)
    assert told.status == 200


async def test_a_models_own_ceiling_takes_the_place_of_the_general_one() -> None:
    assert (await world_with(Ceilings(CENT, {MODEL: 100 * CENT})).ask(asking("openai", **DEAR))).status == 200
    assert (await world_with(Ceilings(100 * CENT, {MODEL: CENT})).ask(asking("openai", **DEAR))).status == 402
    assert (await world_with(Ceilings(None, {"other": 0})).ask(asking("openai", **DEAR))).status == 200


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_may_set_its_own(client: str) -> None:
    world = world_with(Ceilings())
    told = await world.ask(asking(client, **DEAR), client, options=CallOptions(max_cost_nano=CENT))
    error = error_of(client, told)
    assert "Tenfold-Max-Cost-Usd" in error["message"]
    assert error["details"]["ceiling_usd"] == "0.01"
    assert not world.sent


async def test_the_clients_own_is_not_lifted_by_an_approval() -> None:
    world = world_with(Ceilings(request_nano=CENT))
    options = CallOptions(max_cost_nano=2 * CENT, approved_cost_nano=100 * CENT)
    assert (await world.ask(asking("openai", **DEAR), options=options)).status == 402


async def test_an_approval_lifts_it_up_to_the_sum_approved() -> None:
    world = world_with(Ceilings(request_nano=CENT))
    assert (await world.ask(asking("openai", **DEAR), options=CallOptions(approved_cost_nano=100 * CENT))).status == 200
    assert (await world.ask(asking("openai", **DEAR), options=CallOptions(approved_cost_nano=2 * CENT))).status == 402


async def test_an_approval_needs_its_scope() -> None:
    world = world_with(Ceilings(request_nano=CENT))
    without = structs.replace(world.principal, scopes=world.principal.scopes - {SCOPE_APPROVE})
    options = CallOptions(approved_cost_nano=100 * CENT)
    told = await world.ask(asking("openai", **DEAR), options=options, principal=without)
    assert (told.status, told.json["error"]["code"]) == (403, "permission_denied")
    assert not world.sent
    told = await world.ask(asking("openai", max_tokens=1), options=options, principal=without)
    assert told.status == 200, "an approval that is not needed needs no scope"


@pytest.mark.parametrize("nano", [0, 1])
async def test_a_ceiling_of_nothing_lets_only_free_models_through(nano: int) -> None:
    assert (await world_with(Ceilings(request_nano=nano)).ask(asking("openai"))).status == 402


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_budget_without_room_is_told_as_one(client: str) -> None:
    world = world_with(Ceilings())
    world.admission.budgets.room_for = 0
    error = error_of(client, await world.ask(asking(client), client))
    assert error["type"] == ("insufficient_quota" if client == "openai" else "billing_error")
    assert not world.sent
    assert BudgetExceeded.code in json.encode(error).decode() or client == "anthropic"


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_model_without_a_price_is_told_with_the_way_out(client: str) -> None:
    world = World({"openai": []}, prices=NoPrice())
    error = error_of(client, await world.ask(asking(client), client))
    assert f'[models."{MODEL}"] price' in error["message"]
    assert "[budgets] default_price" in error["message"]
    assert not world.sent
