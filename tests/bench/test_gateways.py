"""How gateways are found and started, and the command line over them."""

import json
import tomllib
from pathlib import Path

import pytest
from bench.__main__ import main
from bench.calls import Upstream
from bench.gateways import all_gateways
from bench.gateways.base import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(folder=tmp_path, port=4000, mock_port=18000)


def test_every_gateway_is_told_where_the_three_upstreams_are(place: Place) -> None:
    for name, gateway in all_gateways(place.folder).items():
        launch = gateway.launch(place)
        assert set(launch.targets) == set(Upstream), name
        assert all(target.url.startswith("http://127.0.0.1:4000/") for target in launch.targets.values()), name
        written = " ".join(file.read_text() for file in place.folder.glob(f"{name}.*"))
        told = written + repr(launch.targets)
        assert all(place.mock_url(upstream) in told for upstream in Upstream) or "proxy_pass" in written, name


def test_tenfold_runs_as_its_users_run_it(place: Place) -> None:
    launch = all_gateways(None)["tenfold"].launch(place)
    settings = tomllib.loads((place.folder / "tenfold.toml").read_text())
    assert set(settings) == {"providers", "models", "limits", "budgets"}  # all counted, nothing switched off
    assert {provider["base_url"] for provider in settings["providers"].values()} == {
        place.mock_url(upstream) for upstream in Upstream
    }
    key = launch.environment["TENFOLD_BOOTSTRAP_KEY"]
    assert {target.headers["Authorization"] for target in launch.targets.values()} == {f"Bearer {key}"}


def test_litellm_caches_only_where_the_cache_is_measured(tmp_path: Path) -> None:
    for cache in (False, True):
        place = Place(folder=tmp_path, port=4000, mock_port=18000, cache=cache)
        all_gateways(None)["litellm"].launch(place)
        settings = json.loads((tmp_path / "litellm.json").read_text())
        assert settings["litellm_settings"].get("cache", False) is cache


def test_what_is_not_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    gateways = all_gateways(tmp_path)
    assert "--install-peers" in (gateways["litellm"].missing() or "")
    assert "Node.js" in (gateways["portkey"].missing() or "")
    assert gateways["tenfold"].missing() is None


def test_a_missing_tool_ends_the_run_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.load.find", lambda _: None)
    assert main(["--quick"]) == 1
    assert "tools/install_bench_tools.sh" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--only", "c65"], ["--gateways", "nginx,envoy"]])
def test_names_that_do_not_exist_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert "not one of" in capsys.readouterr().err


def test_help_tells_the_measures(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in ("c64", "c1", "sse", "paced", "conc", "cache", "cold"))
