"""The configuration: values from file, environment and command line, and mistakes told with their place."""

from decimal import Decimal
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
        "TENFOLD_MODELS_GPT_4O_MINI_MAX_REQUEST_USD": "0.5",
        "TENFOLD_PROVIDERS_MAIN_USAGE_LOOKUP": "/usage/{request_id}",
    }
    read = settings(tmp_path, PROVIDER + '[models."gpt-4o-mini"]\nprovider = "main"\n', env)
    assert read.providers["main"].base_url == "http://other/v1"
    assert read.providers["spare"].kind == "offline"
    assert read.models["gpt-4o-mini"].upstream == "x"
    assert read.models["gpt-4o-mini"].max_request_usd == Decimal("0.5")
    assert read.providers["main"].usage_lookup == "/usage/{request_id}"


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
        (PROVIDER + 'usage_lookup = "/usage"', "usage_lookup must be a path with {request_id} in it"),
        (PROVIDER + 'usage_lookup = "/u/{request_id}?k={key}"', "usage_lookup must be a path with {request_id} in it"),
        (
            "[limits]\nkey_request_per_minute = 1",
            "toml:2: unknown key limits.key_request_per_minute; did you mean key_r",
        ),
        ("[limits]\nkey_concurrency = 0", "toml:2: limits.key_concurrency: Input should be greater than or equal to 1"),
        ("[limits]\ntenant_requests_per_minute = 1.5", "toml:2: limits.tenant_requests_per_minute: Input should be a"),
        (
            "[limits]\nkey_usd_per_hour = 1000000",
            "limits.key_usd_per_hour: a rate is at most 999999.999999999 USD",
        ),
        ("[limits]\ntenant_concurrency = 1000001", "limits.tenant_concurrency: Input should be less than or equal to"),
        ('[limits]\nshared = "valkey"', 'toml:1: limits: shared = "valkey" needs valkey_url'),
        ('[limits]\nvalkey_url = "localhost:6379"', "limits: valkey_url must begin with redis://"),
        (
            "[budgets.default_price]\ninput = 1\noutptu = 1",
            "unknown key budgets.default_price.outptu; did you mean output?",
        ),
        (
            "[budgets.default_price]\ninput = -1",
            "budgets.default_price.input: Input should be greater than or equal to 0",
        ),
        ("[budgets.default_price]\ninput = 1e9", "budgets.default_price.input: Input should be less than or equal to"),
        ('[budgets]\nbroken_streams = "free"', "budgets.broken_streams: Input should be 'bound' or 'received'"),
        ('[alerts]\nwebhook_url = "https://h/x"', "toml:1: alerts: webhook_url needs webhook_secret"),
        ('[alerts]\nwebhook_url = "h/x"\nwebhook_secret = "env:S"', "webhook_url must begin with https:// or http://"),
        ('[alerts]\nwebhook_secret = "whsec_abc"', 'alerts: webhook_secret must be "env:NAME" or "file:PATH"'),
        ("[ledger]\nretention_days = 1", "ledger.retention_days: Input should be greater than or equal to 35"),
        ("[idempotency]\nttl_s = 0", "idempotency.ttl_s: Input should be greater than 0"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_the_nearest_name(tmp_path: Path, text: str, said: str) -> None:
    assert said in mistake(tmp_path, text)


def test_money_is_read_exactly_from_numbers_and_from_text(tmp_path: Path) -> None:
    text = (
        "[budgets]\nmax_request_usd = 0.1\nrun_usd = '2.000000001'\ntenant_usd_per_day = 1e-7\n"
        "[limits]\nkey_usd_per_hour = 3\n"
    )
    env = {
        "TENFOLD_BUDGETS_TENANT_USD_PER_MONTH": "1000000000.5",
        "TENFOLD_LIMITS_END_USER_USD_PER_HOUR": "0.000000001",
    }
    read = settings(tmp_path, text, env)
    assert read.budgets.max_request_usd == Decimal("0.1")
    assert read.budgets.run_usd == Decimal("2.000000001")
    assert read.budgets.tenant_usd_per_day == Decimal("0.0000001")
    assert read.budgets.tenant_usd_per_month == Decimal("1000000000.5")
    assert (read.limits.key_usd_per_hour, read.limits.end_user_usd_per_hour) == (Decimal(3), Decimal("0.000000001"))
    assert settings(tmp_path, "").budgets.max_request_usd is None


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("-1", "an amount is not negative"),
        ("-0.5", "an amount is not negative"),
        ("0", "an amount is above 0; leave the key out"),
        ("'0.000'", "an amount is above 0; leave the key out"),
        ("10_000_000_000", "an amount is at most 9223372036.854775807 USD"),
        ("1e300", "a plain number of US dollars"),
        ("nan", "a plain number of US dollars"),
        ("inf", "a plain number of US dollars"),
        ("'5 EUR'", "a plain number of US dollars"),
        ("'$5'", "a plain number of US dollars"),
        ("'5,50'", "a plain number of US dollars"),
        ("'1_000'", "a plain number of US dollars"),
        ("'1e3'", "a plain number of US dollars"),
        ("'٥'", "a plain number of US dollars"),
        ("''", "a plain number of US dollars"),
        ("'0.0000000001'", "at most 9 digits after the point"),
        ("true", "a plain number of US dollars"),
        ("[1]", "a plain number of US dollars"),
    ],
)
def test_an_amount_that_is_none_is_told(tmp_path: Path, amount: str, said: str) -> None:
    for table, key in (("budgets", "run_usd"), ("limits", "tenant_usd_per_hour")):
        told = mistake(tmp_path, f"[{table}]\n{key} = {amount}")
        assert told.startswith(f"tenfold.toml:2: {table}.{key}: ")
        assert said in told
    text = PROVIDER + f'[models.m]\nprovider = "main"\nmax_request_usd = {amount}'
    assert said in mistake(tmp_path, text)


def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    assert mistake(tmp_path, "", {"TENFOLD_SERVER_PROT": "1"}) == (
        "environment: unknown variable TENFOLD_SERVER_PROT; did you mean TENFOLD_SERVER_PORT?"
    )
    assert "environment: TENFOLD_SERVER_PORT: server.port" in mistake(tmp_path, "", {"TENFOLD_SERVER_PORT": "x"})
    assert mistake(tmp_path, "", {"TENFOLD_BUDGETS_RUN_USD": "5 USD"}).startswith(
        "environment: TENFOLD_BUDGETS_RUN_USD: budgets.run_usd: an amount is a plain number"
    )
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
    with pytest.raises(SettingsError, match="alerts: webhook_secret points to the environment variable K"):
        secret("env:K", {}, "alerts", "webhook_secret")
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
