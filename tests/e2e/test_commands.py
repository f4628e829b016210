"""The `tenfold` command as operators run it: beside a serving Tenfold, on a home nobody serves, and misused."""

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.calls import ask
from tests.support.tenfold_process import TenfoldProcess, configuration
from tests.support.upstream_server import UpstreamServer, eventually


def told(process: TenfoldProcess, *words: str) -> Any:
    done = process.cli(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_tenant_from_creation_to_its_last_call(tenfold: TenfoldProcess) -> None:
    slug = f"t-{uuid.uuid4().hex[:8]}"
    created = told(tenfold, "tenant", "create", slug, "--name", "Łódź & Co")
    assert (created["slug"], created["name"]) == (slug, "Łódź & Co")
    assert slug in [tenant["slug"] for tenant in told(tenfold, "tenant", "list", "--limit", "100")["items"]]
    assert tenfold.cli("tenant", "create", slug).returncode == 1

    made = told(tenfold, "key", "create", "--tenant", slug, "--name", "ci", "--scope", "inference")
    eventually(lambda: ask(tenfold, "gpt-4o-mini", "hello", key=made["secret"]).status_code == 200, "it works", 1.0)
    [listed] = told(tenfold, "key", "list", "--tenant", slug)["items"]
    assert (listed["id"], listed["name"], listed["scopes"]) == (made["key"]["id"], "ci", ["inference"])
    assert made["secret"] not in json.dumps(listed)
    assert listed["prefix"] in made["secret"]

    told(tenfold, "key", "revoke", made["key"]["id"], "--tenant", slug)
    eventually(lambda: ask(tenfold, "gpt-4o-mini", "hello", key=made["secret"]).status_code == 401, "refused", 1.0)
    assert told(tenfold, "key", "list", "--tenant", slug)["items"][0]["revoked_at"] is not None


def test_everything_is_checked(tenfold: TenfoldProcess, upstream: UpstreamServer) -> None:
    with upstream.recording() as seen:
        checks = {check["check"]: check for check in told(tenfold, "provider", "check", "anthropic")["checks"]}
    assert [request.path for request in seen] == ["/anthropic/v1/models"]
    assert checks["provider anthropic"]["ok"]
    done = tenfold.cli("doctor", "--json")
    found = {check["check"]: check["ok"] for check in json.loads(done.stdout)["checks"]}
    assert found.pop("provider nowhere") is False
    assert found.pop("price of unpriced") is False
    assert all(found.values()), found
    assert done.returncode == 1, "one provider is not there, one model has no price"


def test_a_provider_that_refuses_its_key(upstream: UpstreamServer, tmp_path: Path) -> None:
    process = TenfoldProcess(tmp_path, configuration(upstream), environment={"OPENAI_UPSTREAM_KEY": "sk-wrong-secret"})
    done = process.cli("provider", "check")
    assert done.returncode == 1
    assert "FAIL  provider openai" in done.stdout
    assert "ok    provider gemini" in done.stdout
    assert "sk-wrong-secret" not in done.stdout + done.stderr
    assert process.cli("provider", "check", "gemini").returncode == 0
    unknown = process.cli("provider", "check", "opneai")
    assert unknown.returncode == 2
    assert "openai" in unknown.stderr


def test_a_home_that_nobody_serves(upstream: UpstreamServer, tmp_path: Path) -> None:
    """Commands start Postgres for themselves, and nothing is left of it."""
    process = TenfoldProcess(tmp_path, configuration(upstream))
    applied = told(process, "db", "migrate")["applied"]
    assert applied
    assert told(process, "db", "migrate")["applied"] == []
    told(process, "tenant", "create", "early")
    secret = told(process, "key", "create", "--tenant", "early")["secret"]
    process.await_silence()
    with process:
        assert ask(process, "gpt-4o-mini", "hello", key=secret).status_code == 200


def test_where_the_configuration_comes_from(upstream: UpstreamServer, tmp_path: Path) -> None:
    """The command line wins over the environment, which wins over the file, for each key by itself."""
    process = TenfoldProcess(
        tmp_path,
        configuration(upstream, "[server]\nmax_body_bytes = 5000\nshutdown_s = 1\n"),
        environment={"TENFOLD_SERVER_MAX_BODY_BYTES": "2000", "TENFOLD_MODELS_HOUSE_PROVIDER": "openai"},
    )
    with process:
        assert ask(process, "gpt-4o-mini", "x" * 1000).status_code == 200
        assert ask(process, "gpt-4o-mini", "x" * 3000).status_code == 413
        names = httpx.get(f"{process.url}/v1/models", headers={"x-api-key": process.key}).json()["data"]
        assert "house" in [model["id"] for model in names]
        assert str(process.home) in str(tmp_path / "home"), "TENFOLD_HOME stands for --home"
        assert (process.home / "postgres").is_dir()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("[server]\nprot = 1\n", ("tenfold.toml:2", "port")),
        ('[server]\nport = "many"\n', ("tenfold.toml:2", "server.port")),
        ("[sever]\n", ("tenfold.toml:1", "server")),
        ('[providers.x]\nkind = "openia"\nbase_url = "http://x/v1"\n', ("tenfold.toml:2", "openai")),
        ('[providers.x]\nkind = "openai"\nbase_url = "http://x/v1"\napi_key = "sk-plain"\n', ("tenfold.toml", "env:")),
        ('[models.m]\nprovider = "nobody"\n', ("tenfold.toml", "nobody")),
        ("no toml at all", ("tenfold.toml", "TOML")),
    ],
)
def test_a_configuration_that_cannot_be_meant(tmp_path: Path, config: str, said: tuple[str, str]) -> None:
    process = TenfoldProcess(tmp_path, config)
    for command in (("up",), ("doctor",), ("tenant", "list")):
        done = process.cli(*command)
        assert done.returncode == 2, done.stderr
        assert all(words in done.stderr for words in said), done.stderr
        assert "Traceback" not in done.stderr
        assert "sk-plain" not in done.stderr
    assert not process.home.exists(), "nothing was begun"


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    process = TenfoldProcess(tmp_path)
    done = process.cli("doctor", TENFOLD_CONFIG=str(tmp_path / "none.toml"))
    assert done.returncode == 2
    assert "none.toml" in done.stderr


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    process = TenfoldProcess(tmp_path)
    dsn = "postgresql://nobody:secret-word@127.0.0.1:9/none"
    for command in (("tenant", "list"), ("up", "--port", "0"), ("db", "migrate")):
        done = process.cli(*command, TENFOLD_DATABASE_URL=dsn)
        assert done.returncode == 3, done.stderr
        assert "secret-word" not in done.stderr + done.stdout


def test_the_installed_command() -> None:
    script = Path(sys.executable).with_name("tenfold")
    for command in ((str(script), "version"), (sys.executable, "-m", "tenfold", "--version")):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.strip().endswith("0.1.0")
    assert subprocess.run([script, "frobnicate"], capture_output=True, check=False).returncode == 2
