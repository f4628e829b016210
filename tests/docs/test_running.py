"""Examples marked `run` are run as they are printed, against a real Tenfold with stand-ins for the vendors behind it.

A page's examples share one interpreter, each with names of its own: importing the SDKs takes longer than running them.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, README, Block, blocks, name
from tests.support.tenfold_process import TenfoldProcess, configuration
from tests.support.upstream_server import UpstreamServer

pytestmark = pytest.mark.xdist_group("docs")  # one Tenfold for all of them

PRINTED_ADDRESS = "http://127.0.0.1:8080"
_PATIENCE_S = 120
_EACH = """
import sys
for place, source in {sources!r}:
    print("#", place, flush=True)
    exec(compile(source, place, "exec"), {{"__name__": "__main__"}})
"""


def marked(language: str) -> dict[Path, list[Block]]:
    found = {page: [block for block in blocks(language, [page]) if block.run] for page in PAGES}
    return {page: examples for page, examples in found.items() if examples}


@pytest.fixture(scope="module")
def tenfold(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TenfoldProcess]:
    with (
        UpstreamServer() as upstream,
        TenfoldProcess(tmp_path_factory.mktemp("docs"), configuration(upstream)) as running,
    ):
        yield running


@pytest.mark.parametrize("page", marked("python"), ids=name)
def test_python_examples_run(page: Path, tenfold: TenfoldProcess) -> None:
    sources = [(str(block), as_here(block, tenfold)) for block in marked("python")[page]]
    done = run([sys.executable, "-c", _EACH.format(sources=sources)], tenfold)
    assert done.returncode == 0, done.stdout + done.stderr
    if page == README:  # the first thing that anybody sees: the offline model answers the question
        assert done.stdout.count('"Receipts are kept in Postgres."') == 2


@pytest.mark.parametrize("page", marked("sh"), ids=name)
def test_shell_examples_run(page: Path, tenfold: TenfoldProcess) -> None:
    for block in marked("sh")[page]:
        done = run(["bash", "-euc", as_here(block, tenfold)], tenfold)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("{") and '"error":{' not in done.stdout and '"detail"' not in done.stdout


def test_the_printed_examples_are_enough() -> None:
    """Both SDKs, curl, LangChain and instructor."""
    together = "\n".join(
        block.text for found in (marked("python"), marked("sh")) for b in found.values() for block in b
    )
    for needed in ("from openai", "from anthropic", "curl ", "langchain_openai", "langchain_anthropic", "instructor"):
        assert needed in together


def as_here(block: Block, tenfold: TenfoldProcess) -> str:
    assert PRINTED_ADDRESS in block.text
    return block.text.replace(PRINTED_ADDRESS, tenfold.url)


def run(command: list[str], tenfold: TenfoldProcess) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        env=os.environ | {"TENFOLD_API_KEY": tenfold.key},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
