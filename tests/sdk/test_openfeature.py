"""OpenFeature's own SDK, with Tenfold's provider, against a running Tenfold: what the operator and a tenant set is what
code sees, within a second and without a restart of anything."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason
from openfeature.provider import ProviderStatus

from tenfold.rollout.openfeature import TenfoldProvider
from tests.support.tenfold_process import TenfoldProcess
from tests.support.upstream_server import eventually


@pytest.fixture
def client(tenfold: TenfoldProcess) -> Iterator[OpenFeatureClient]:
    domain = uuid.uuid4().hex
    api.set_provider_and_wait(TenfoldProvider(tenfold.url, tenfold.key), domain)
    yield api.get_client(domain)
    api.clear_providers()


@pytest.fixture
def key() -> str:
    return f"flag-{uuid.uuid4().hex[:8]}"


def send(tenfold: TenfoldProcess, method: str, path: str, **body: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {tenfold.key}"}
    reply = httpx.request(method, f"{tenfold.url}{path}", json=body or None, headers=headers)
    assert reply.is_success, reply.text
    told: dict[str, Any] = reply.json() if reply.content else {}
    return told


def test_values_of_every_type(tenfold: TenfoldProcess, client: OpenFeatureClient, key: str) -> None:
    values = {"boolean": True, "string": "x", "number": 3, "object": {"a": [1, {"b": None}]}}
    for kind, value in values.items():
        send(
            tenfold, "POST", "/api/v1/flags", key=f"{key}.{kind}", type=kind, variants={"v": value}, default_variant="v"
        )
    eventually(lambda: client.get_object_value(f"{key}.object", {}) == values["object"], "the flags are known")
    assert client.get_boolean_value(f"{key}.boolean", False) is True
    assert client.get_string_value(f"{key}.string", "") == "x"
    assert client.get_integer_value(f"{key}.number", 0) == 3
    assert client.get_float_value(f"{key}.number", 0.0) == 3.0
    details = client.get_string_details(f"{key}.boolean", "mine")
    assert (details.value, details.error_code, details.reason) == ("mine", ErrorCode.TYPE_MISMATCH, Reason.ERROR)
    details = client.get_string_details(f"{key}.none", "mine")
    assert (details.value, details.error_code) == ("mine", ErrorCode.FLAG_NOT_FOUND)


def test_targeting_and_ramp_up(tenfold: TenfoldProcess, client: OpenFeatureClient, key: str) -> None:
    vip = {"conditions": [{"attribute": "group", "one_of": ["vip", "staff"]}], "variant": "on"}
    split = {"split": {"weights": {"on": 20, "off": 80}}}
    send(tenfold, "POST", "/api/v1/flags", key=key, type="boolean", rules=[vip, split])
    people = [EvaluationContext(f"user-{number}", {"group": "all"}) for number in range(60)]
    staff = EvaluationContext("user-1", {"group": "staff"})
    eventually(lambda: client.get_boolean_value(key, False, staff), "the flag is known")
    assert client.get_boolean_details(key, False, staff).reason == Reason.TARGETING_MATCH

    def ramped() -> set[str | None]:
        return {person.targeting_key for person in people if client.get_boolean_value(key, False, person)}

    inside = ramped()
    assert 0 < len(inside) < 30
    assert client.get_boolean_details(key, False, people[0]).reason == Reason.SPLIT
    assert client.get_boolean_details(key, False).error_code == ErrorCode.TARGETING_KEY_MISSING

    send(tenfold, "PATCH", f"/api/v1/flags/{key}", rules=[{"split": {"weights": {"on": 60, "off": 40}}}])
    eventually(lambda: client.get_boolean_details(key, False, staff).reason == Reason.SPLIT, "the change is known")
    eventually(lambda: inside < ramped(), "nobody goes by what was told a moment ago")


def test_the_operators_flag_is_seen_and_its_end_too(
    tenfold: TenfoldProcess, client: OpenFeatureClient, key: str
) -> None:
    rule = json.dumps({"conditions": [{"attribute": "tenant", "equals": "default"}], "variant": "on"})
    done = tenfold.cli("flag", "create", key, "--rule", rule, "--reason", "a try")
    assert done.returncode == 0, done.stderr
    eventually(lambda: client.get_boolean_value(key, False), "the flag is known")
    assert tenfold.cli("flag", "evaluate", key).stdout == "true  (on, TARGETING_MATCH)\n"
    assert tenfold.cli("flag", "set", key, "--disabled").returncode == 0
    eventually(lambda: not client.get_boolean_value(key, True), "the change is known")
    assert client.get_boolean_details(key, True).reason == Reason.DISABLED
    assert tenfold.cli("flag", "end", key).returncode == 0
    eventually(lambda: client.get_boolean_value(key, True), "the code's own default is back")


async def test_async(tenfold: TenfoldProcess, client: OpenFeatureClient, key: str) -> None:
    assert await client.get_boolean_value_async(key, True) is True
    details = await client.get_boolean_details_async(key, True)
    assert details.error_code == ErrorCode.FLAG_NOT_FOUND


def test_a_wrong_key_is_found_at_the_start(tenfold: TenfoldProcess, key: str) -> None:
    api.set_provider(TenfoldProvider(tenfold.url, "tf_wrong"), key)
    client = api.get_client(key)
    eventually(lambda: client.get_provider_status() == ProviderStatus.FATAL, "the provider has failed")
    assert client.get_boolean_value(key, True) is True
    api.clear_providers()


def test_another_tenants_flags_are_not_seen(tenfold: TenfoldProcess, client: OpenFeatureClient, key: str) -> None:
    send(tenfold, "POST", "/api/v1/flags", key=key, type="boolean", rules=[{"variant": "on"}])
    eventually(lambda: client.get_boolean_value(key, False), "the flag is known")
    assert tenfold.cli("tenant", "create", key).returncode == 0
    theirs = json.loads(tenfold.cli("key", "create", "--tenant", key, "--scope", "inference", "--json").stdout)[
        "secret"
    ]
    api.set_provider_and_wait(TenfoldProvider(tenfold.url, theirs), key)
    assert api.get_client(key).get_boolean_details(key, False).error_code == ErrorCode.FLAG_NOT_FOUND
