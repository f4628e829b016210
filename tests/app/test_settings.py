"""The configuration: values from file, environment and command line, and mistakes told with their place."""

from pathlib import Path
from typing import Any

import pytest

from tenfold.app.settings import Settings, SettingsError, describe, load, secret

PROVIDER = '[providers.main]\nkind = "openai"\nbase_url = "http://127.0.0.1:9100/v1"\n'


def settings(tmp_path: Path, text: str, env: dict[str, str] | None = None, **overrides: dict[str, Any]) -> Settings:
    file = tmp_path / "tenfold.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, tmp_path, env or {}, overrides)


def mistake(tmp_path: Path, text: str, env: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        settings(tmp_path, text, env)
    return str(caught.value).removeprefix(str(tmp_path) + "/")


def test_the_example_of_the_readme_is_read(tmp_path: Path) -> None:
    read = settings(
        tmp_path,
        PROVIDER + 'api_key = "env:OPENAI_API_KEY"\n[models."gpt-4o-mini"]\nprovider = "main"\nupstream = "gpt-4o"\n',
    )
    assert read.providers["main"].base_url == "http://127.0.0.1:9100/v1"
    assert read.models["gpt-4o-mini"].upstream == "gpt-4o"


def test_several_targets_stand_for_one_provider(tmp_path: Path) -> None:
    read = settings(
        tmp_path, PROVIDER + '[[models.m.targets]]\nprovider = "main"\n[[models.m.targets]]\nprovider="main"'
    )
    assert [target.provider for target in read.models["m"].targets] == ["main", "main"]


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(tmp_path: Path) -> None:
    text = "[server]\nport = 1\nhost = 'a'\n"
    assert settings(tmp_path, text, {"TENFOLD_SERVER_PORT": "2"}).server.port == 2
    assert settings(tmp_path, text, {"TENFOLD_SERVER_PORT": "2"}, server={"port": 3}).server.port == 3
    assert settings(tmp_path, text, {"TENFOLD_SERVER_PORT": "2"}).server.host == "a"


def test_keys_of_named_tables_are_set_by_environment(tmp_path: Path) -> None:
    env = {
        "TENFOLD_PROVIDERS_MAIN_BASE_URL": "http://other/v1",
        "TENFOLD_PROVIDERS_SPARE_KIND": "offline",
        "TENFOLD_MODELS_GPT_4O_MINI_UPSTREAM": "x",
    }
    read = settings(tmp_path, PROVIDER + '[models."gpt-4o-mini"]\nprovider = "main"\n', env)
    assert read.providers["main"].base_url == "http://other/v1"
    assert read.providers["spare"].kind == "offline"
    assert read.models["gpt-4o-mini"].upstream == "x"


def test_variables_of_orchestrators_are_left_alone(tmp_path: Path) -> None:
    env = {"TENFOLD_SERVICE_HOST": "10.0.0.1", "TENFOLD_PORT_8080_TCP": "tcp://10.0.0.1:8080", "TENFOLD_HOME": "x"}
    assert settings(tmp_path, "", env).server.port == 8080


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nprot = 1", "tenfold.toml:2: unknown key server.prot; did you mean port?"),
        ("\n[servr]\nport = 1", "tenfold.toml:2: unknown table [servr]; did you mean server?"),
        ('[server]\n\nport = "abc"', "tenfold.toml:3: server.port: Input should be a valid integer"),
        ("[server]\nport = 70000", "tenfold.toml:2: server.port: Input should be less than or equal to 65535"),
        ("[server\n", "tenfold.toml: not valid TOML"),
        ('[providers.main]\nkind = "opnai"', "tenfold.toml:2: providers.main.kind: Input should be 'openai'"),
        (
            '[providers.main]\nkind = "openai"',
            "tenfold.toml:1: providers.main: a provider of kind 'openai' needs base_url",
        ),
        (PROVIDER + 'api_key = "sk-123"', "tenfold.toml:1: providers.main: api_key must be"),
        (PROVIDER + 'bse_url = "x"', "tenfold.toml:4: unknown key providers.main.bse_url; did you mean base_url?"),
        (
            PROVIDER + '[models."a.b"]\nprovider = "mian"',
            "names provider 'mian', which is not configured; did you mean main?",
        ),
        (
            PROVIDER + '[models."a.b"]\nprovidr = "main"',
            'toml:5: unknown key models."a.b".providr; did you mean provider?',
        ),
        ("[models.m]\nupstream = 'x'", "tenfold.toml:1: models.m: a model names either `provider` or `[[targets]]`"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_the_nearest_name(tmp_path: Path, text: str, said: str) -> None:
    assert said in mistake(tmp_path, text)


def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    assert mistake(tmp_path, "", {"TENFOLD_SERVER_PROT": "1"}) == (
        "environment: unknown variable TENFOLD_SERVER_PROT; did you mean TENFOLD_SERVER_PORT?"
    )
    assert "environment: TENFOLD_SERVER_PORT: server.port" in mistake(tmp_path, "", {"TENFOLD_SERVER_PORT": "x"})
    assert "at least 16 characters" in mistake(tmp_path, "", {"TENFOLD_BOOTSTRAP_KEY": "short"})


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(SettingsError, match="no such file"):
        load(Path("/nonexistent/tenfold.toml"), Path(), {})


def test_secrets_come_from_environment_or_file_and_are_never_repeated(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk-file\n")
    assert secret("env:K", {"K": " sk-env "}, "providers.main") == "sk-env"
    assert secret(f"file:{file}", {}, "providers.main") == "sk-file"
    assert secret(None, {}, "providers.main") is None
    with pytest.raises(SettingsError, match="environment variable K, which is not set"):
        secret("env:K", {}, "providers.main")
    with pytest.raises(SettingsError, match="cannot be read"):
        secret(f"file:{tmp_path}/none", {}, "providers.main")
    with pytest.raises(SettingsError) as caught:
        secret("env:K", {"K": "sk-geheim\nx"}, "providers.main")
    assert "geheim" not in str(caught.value)


def test_the_bootstrap_key_is_not_shown() -> None:
    read = load(None, Path(), {"TENFOLD_BOOTSTRAP_KEY": "0123456789abcdef"})
    assert read.bootstrap_key == "0123456789abcdef"
    assert "0123456789abcdef" not in repr(read)
    assert "0123456789abcdef" not in read.model_dump_json()


def test_every_setting_says_what_it_means() -> None:
    rows = list(describe())
    assert len(rows) > 20
    assert all(meaning for _, _, _, meaning in rows)
