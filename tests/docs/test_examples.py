"""Examples say what works: configurations load, commands exist, code compiles, and what is marked `run` runs."""

import ast
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tenfold.app.cli import main as command_line
from tenfold.app.settings import RESERVED_ENVIRONMENT, Settings, SettingsError, load
from tenfold.providers.transport import Origin
from tenfold.providers.transport.origin import Proxy
from tests.docs.pages import PAGES, ROOT, RUN, Block, blocks, code_spans, text

LANGUAGES = {"python", "sh", "toml", "json", "text", "sql", "nginx", "yaml", "ini"}
_FENCE = re.compile(r"^```(\S*)(.*)$", re.MULTILINE)
_COMMAND = re.compile(r"(?:^|[;&|]\s*)(?:\.venv/bin/)?tenfold ([^#\n]*)", re.MULTILINE)
_MAKE = re.compile(r"\bmake ([a-z]+)\b")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_names_a_language_that_is_checked(page: Path) -> None:
    for number, (language, more) in enumerate(_FENCE.findall(text(page))):
        if number % 2 == 0:
            assert language in LANGUAGES
            assert more.strip() in ("", RUN)


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_configurations_load(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "tenfold.toml"
    file.write_text(block.text, encoding="utf-8")
    settings = load(file, tmp_path, {})
    for provider in settings.providers.values():
        if provider.base_url is not None:
            Origin.parse(provider.base_url)
        if provider.proxy is not None:
            Proxy.parse(provider.proxy)


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_parses(block: Block) -> None:
    ast.parse(block.text)


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_parses(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_commands_exist(block: Block) -> None:
    for words in commands(block.text):
        check_command(words)


def test_commands_in_the_text_exist() -> None:
    written = {span for page in PAGES for span in code_spans(page) if re.match(r"(\.venv/bin/)?tenfold [a-z]", span)}
    assert len(written) > 5
    for span in written:
        for words in commands(span):
            check_command(words)


@pytest.mark.parametrize("broken", ["tenfold keys list", "tenfold key create --tenat acme", "tenfold db"])
def test_a_command_that_is_none_is_found(broken: str) -> None:
    with pytest.raises((AssertionError, click.UsageError)):
        for words in commands(broken):
            check_command(words)


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", text(ROOT / "Makefile"), re.MULTILINE))
    for page in PAGES:
        said = [*code_spans(page), *(line for block in blocks("sh", [page]) for line in block.text.splitlines())]
        for line in said:
            assert set(_MAKE.findall(line.partition("#")[0])) <= targets, f"{page.name}: {line}"


def test_environment_variables_in_the_text_are_settings() -> None:
    named = {name for page in PAGES for name in re.findall(r"\bTENFOLD_[A-Z_]*[A-Z]\b(?![_<])", text(page))}
    assert {"TENFOLD_SERVER_PORT", "TENFOLD_HOME"} <= named
    assert {name for name in named if not is_read(name)} == {"TENFOLD_API_KEY"}  # the examples' own


@pytest.mark.parametrize("name", ["TENFOLD_SERVER_PROT", "TENFOLD_SERVR_PORT", "TENFOLD_PROVIDERS_MAIN_URL"])
def test_an_environment_variable_that_is_none_is_found(name: str) -> None:
    assert not is_read(name)


def is_read(name: str) -> bool:
    """Whether settings come from the environment variable, whatever its value may be."""
    if name in RESERVED_ENVIRONMENT:
        return True
    try:
        load(None, ROOT, {name: "?"})
    except SettingsError as error:
        return "unknown variable" not in str(error) and "ends in no key" not in str(error)
    return name.split("_")[1].lower() in Settings.model_fields


def commands(script: str) -> Iterator[list[str]]:
    for line in _COMMAND.findall(script.replace("\\\n", " ")):
        yield shlex.split(line)


def check_command(words: list[str]) -> None:
    """Walks the groups down to the command and lets it parse its own options. Runs nothing."""
    command: click.Command = command_line
    context = click.Context(command, info_name="tenfold")
    while isinstance(command, click.Group):
        assert words, "a group alone does nothing"
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
        context = click.Context(command, info_name=name, parent=context, resilient_parsing=False)
    command.make_parser(context).parse_args(args=list(words))
