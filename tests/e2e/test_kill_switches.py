"""Switches thrown while two workers serve: both refuse within moments, nothing is asked of a provider, others go on."""

import json
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.e2e.calls import ask
from tests.support.tenfold_process import TenfoldProcess, configuration
from tests.support.upstream_server import UpstreamServer, eventually

MODEL, OTHER_MODEL = "gpt-4o-mini", "claude-haiku-4-5"
IN_A_ROW = 8  # each on a connection of its own, so that both workers are asked


@pytest.fixture(scope="module")
def pair(upstream: UpstreamServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TenfoldProcess]:
    folder = tmp_path_factory.mktemp("pair")
    with TenfoldProcess(folder, configuration(upstream, "[cache]\nexact = false\n"), workers=2) as process:
        yield process


def answers(pair: TenfoldProcess, feature: str = "search", model: str = MODEL, key: str | None = None) -> set[object]:
    found: set[object] = set()
    for number in range(IN_A_ROW):
        reply = ask(pair, model, f"Hi {number}", key=key, headers={"Tenfold-Feature": feature})
        found.add(200 if reply.status_code == 200 else reply.json()["error"]["code"])
    return found


def thrown(pair: TenfoldProcess, *words: str) -> str:
    done = pair.cli("kill", *words, "--reason", "wrong answers", "--json")
    assert done.returncode == 0, done.stderr
    kill_id: str = json.loads(done.stdout)["id"]
    return kill_id


def ended(pair: TenfoldProcess, kill_id: str, *words: str) -> None:
    done = pair.cli("kill", "end", kill_id, *words)
    assert done.returncode == 0, done.stderr


def soon(look: Callable[[], bool], what: str) -> None:
    eventually(look, what, 10)


def test_a_feature_for_all(pair: TenfoldProcess, upstream: UpstreamServer) -> None:
    assert answers(pair) == {200}
    kill_id = thrown(pair, "feature", "search")
    soon(lambda: answers(pair) == {"feature_off"}, "the feature is off on both workers")
    with upstream.recording() as seen:
        reply = ask(pair, MODEL, "Hi", headers={"Tenfold-Feature": "search"})
        assert (reply.status_code, "wrong answers" in reply.text) == (503, True)
    assert seen == []
    assert answers(pair, feature="support") == {200}
    ended(pair, kill_id)
    soon(lambda: answers(pair) == {200}, "the feature is on again")


def test_a_tenant(pair: TenfoldProcess) -> None:
    assert pair.cli("tenant", "create", "acme").returncode == 0
    key = json.loads(pair.cli("key", "create", "--tenant", "acme", "--json").stdout)["secret"]
    assert answers(pair, key=key) == {200}
    kill_id = thrown(pair, "tenant", "acme")
    soon(lambda: answers(pair, key=key) == {"feature_off"}, "the tenant is off on both workers")
    assert answers(pair) == {200}
    ended(pair, kill_id, "--tenant", "acme")
    soon(lambda: answers(pair, key=key) == {200}, "the tenant is on again")


@pytest.mark.parametrize("words", [("model", MODEL), ("provider", "openai")])
def test_a_model_and_a_provider(pair: TenfoldProcess, upstream: UpstreamServer, words: tuple[str, str]) -> None:
    kill_id = thrown(pair, *words)
    soon(lambda: 200 not in answers(pair), "it is off on both workers")
    with upstream.recording() as seen:
        ask(pair, MODEL, "Hi")
    assert seen == []
    assert answers(pair, model=OTHER_MODEL) == {200}
    ended(pair, kill_id)
    soon(lambda: answers(pair) == {200}, "it is on again")


def test_a_tenants_own(pair: TenfoldProcess) -> None:
    headers = {"Authorization": f"Bearer {pair.key}"}
    body = {"scope": "feature", "subject": "search", "reason": "ours"}
    reply = httpx.post(f"{pair.url}/api/v1/kills", json=body, headers=headers)
    assert reply.status_code == 201, reply.text
    soon(lambda: answers(pair) == {"feature_off"}, "the feature is off on both workers")
    reply = httpx.delete(f"{pair.url}/api/v1/kills/{reply.json()['id']}", headers=headers)
    assert reply.status_code == 204
    soon(lambda: answers(pair) == {200}, "the feature is on again")
