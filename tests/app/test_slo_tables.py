"""The tables of pathways: what is declared, what stands where nothing is, and mistakes told with their place."""

from pathlib import Path

import pytest

from tenfold.app.settings import SettingsError, describe, load
from tenfold.app.slo_tables import BUDGETS_MS, PATHWAYS, SloSettings, budget_ms, objectives


def tables(tmp_path: Path, text: str, env: dict[str, str] | None = None) -> dict[str, SloSettings]:
    file = tmp_path / "tenfold.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, tmp_path, env or {}).slo


def mistake(tmp_path: Path, text: str, env: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        tables(tmp_path, text, env)
    return str(caught.value).removeprefix(str(tmp_path) + "/")


def test_without_tables_every_pathway_is_measured_and_none_alerts(tmp_path: Path) -> None:
    found = list(objectives(tables(tmp_path, "")))
    assert [(name, pathway, entry.alert) for name, pathway, entry in found] == [(p, p, False) for p in PATHWAYS]
    assert sum(BUDGETS_MS[part] for part in PATHWAYS[:-1]) <= BUDGETS_MS["end_to_end"] == 1_500


def test_a_table_stands_in_the_place_of_the_default(tmp_path: Path) -> None:
    text = "[slo.generate]\np95_ms = 900\n[slo.support]\npathway = 'end_to_end'\nfeature = 'support'\np95_ms = 5000\n"
    found = {name: (pathway, budget_ms(pathway, entry)) for name, pathway, entry in objectives(tables(tmp_path, text))}
    assert found == {
        "generate": ("generate", 900),
        "support": ("end_to_end", 5000),
        "auth": ("auth", 5),
        "search": ("search", 50),
        "retrieve": ("retrieve", 150),
        "end_to_end": ("end_to_end", 1500),
    }


def test_the_environment_sets_them_too(tmp_path: Path) -> None:
    env = {"TENFOLD_SLO_END_TO_END_P95_MS": "2000", "TENFOLD_SLO_CHAT_BOT_WINDOW_DAYS": "7"}
    read = tables(tmp_path, "[slo.chat-bot]\npathway = 'generate'\nfeature = 'bot'\n", env)
    assert (read["end_to_end"].p95_ms, read["chat-bot"].window_days) == (2000, 7)


def test_they_are_described() -> None:
    described = {key: kind for key, kind, *_ in describe() if key.startswith("slo.")}
    assert described.keys() == {f"slo.*.{key}" for key in SloSettings.model_fields}
    assert described["slo.*.alert"] == "bool"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[slo.genrate]\n",
            "tenfold.toml:1: slo.genrate: no such pathway; name one with `pathway`, or the table after ",
        ),
        ("[slo.genrate]\n", "did you mean generate?"),
        ("[slo.x]\nfeature = 'x'\npathway = 'serch'\n", "tenfold.toml:3: slo.x.pathway: no such pathway; did you mean"),
        ("[slo.search]\nobjective = 1.0\n", "tenfold.toml:2: slo.search.objective: Input should be less than 1"),
        ("[slo.search]\nobjective = 0\n", "slo.search.objective: Input should be greater than 0"),
        ("[slo.search]\np95_ms = 0\n", "slo.search.p95_ms: Input should be greater than 0"),
        ("[slo.search]\np95 = 1\n", "tenfold.toml:2: unknown key slo.search.p95; did you mean p95_ms?"),
        ("[slo.search]\navailability = 0.9\n", "tenfold.toml:2: slo.search.availability: end_to_end alone"),
        ("[slo.auth]\nmodel = 'm'\n", "tenfold.toml:2: slo.auth.model: auth is over before a model is known"),
        (
            "[slo.auth]\n[slo.a]\npathway = 'auth'\n",
            "tenfold.toml:2: slo.a: [slo.auth] is already about the same calls",
        ),
        (
            "[slo.end_to_end]\np95_ms = 1000\n[slo.generate]\np95_ms = 990\n[slo.auth]\np95_ms = 11\n",
            "tenfold.toml:2: slo.end_to_end.p95_ms: its parts may take 1001 ms (auth 11, generate 990), and the whole ",
        ),
        (
            "[slo.w]\npathway = 'end_to_end'\nfeature='f'\np95_ms=100\n[slo.g]\npathway='generate'\nfeature='f'\n",
            "slo.w.p95_ms: its parts may take 1200 ms (g 1200), and the whole 100 ms",
        ),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, text: str, said: str) -> None:
    assert said in mistake(tmp_path, text)


def test_a_mistake_of_the_environment_names_its_variable(tmp_path: Path) -> None:
    said = mistake(tmp_path, "", {"TENFOLD_SLO_GENRATE_P95_MS": "2000"})
    assert said.startswith("environment: TENFOLD_SLO_GENRATE_P95_MS: slo.genrate: no such pathway")
    said = mistake(tmp_path, "", {"TENFOLD_SLO_SEARCH_OBJECTIVE": "2"})
    assert said.startswith("environment: TENFOLD_SLO_SEARCH_OBJECTIVE: slo.search.objective: ")


def test_parts_of_other_calls_do_not_count(tmp_path: Path) -> None:
    text = "[slo.end_to_end]\np95_ms = 1000\n[slo.g]\npathway = 'generate'\nfeature = 'slow'\np95_ms = 5000\n"
    assert tables(tmp_path, text)["g"].p95_ms == 5000
