"""What exists is documented: reference pages equal the code, and every route, header and dependency is named."""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute, Route

from tenfold.app.settings import describe
from tenfold.app.telemetry.metrics import HELP
from tenfold.edge.batches.resource import BatchesResource
from tenfold.edge.files.resource import FilesResource
from tenfold.edge.progress import JobEvents
from tenfold.edge.responses import ResponsesResource
from tenfold.edge.vector_stores.resource import VectorStoresResource
from tests.docs.pages import DOCS, PAGES, ROOT, code_spans, name, text
from tests.support.console import fake_console

RESOURCE_ROUTES = {
    *ResponsesResource.routes,
    *FilesResource.routes,
    *BatchesResource.routes,
    *VectorStoresResource.routes,
    *JobEvents.routes,
}
"""Of what stands behind the front door beside the calls."""

_ROW = re.compile(r"^\| `([A-Z]+)` \| `([^`]+)` \|", re.MULTILINE)
_TABLES = {key.split(".")[0] for key, *_ in describe()}
_KEYS = {key for key, *_ in describe()}


def test_the_reference_pages_are_what_the_code_says() -> None:
    """In a process of its own, as `make docs` is: the errors that exist depend on what was imported."""
    script = (
        "import json; from tools.reference import pages; print(json.dumps({str(p): t for p, t in pages().items()}))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    expected: dict[str, str] = json.loads(done.stdout)
    assert set(expected) == {str(page) for page in (DOCS / "reference").glob("*.md")}
    assert [page for page, said in expected.items() if text(Path(page)) != said] == [], "run `make docs`"


async def test_every_route_is_documented_and_no_other() -> None:
    async with fake_console() as console:
        exist = gateway_routes() | RESOURCE_ROUTES | routes_of(console.app)
        assert set(_ROW.findall(text(DOCS / "http.md"))) == exist


def test_every_header_is_documented() -> None:
    page = text(DOCS / "http.md").lower()
    written = {
        header
        for part in ("edge", "inference", "console")
        for file in (ROOT / "src" / "tenfold" / part).rglob("*.py")
        for header in re.findall(r'"(tenfold-[a-z-]+[a-z])"', file.read_text(encoding="utf-8"))
    }
    assert "tenfold-cost-usd" in written
    assert [header for header in sorted(written) if f"`{header}`" not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_settings_in_the_text_exist(page: Path) -> None:
    said = {span for span in code_spans(page) if re.fullmatch(r"[a-z]+\.[a-z_]+", span)}
    assert {key for key in said if key.split(".")[0] in _TABLES} - {"cache.py", "slo.burn"} <= _KEYS


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_metrics_in_the_text_exist(page: Path) -> None:
    said = {span for span in code_spans(page) if re.fullmatch(r"tenfold_[a-z_]+_(total|bytes|pending|up)", span)}
    assert said <= HELP.keys()


def test_every_direct_dependency_has_its_line() -> None:
    rows = [line.split("|")[1] for line in text(DOCS / "dependencies.md").splitlines() if line.startswith("| `")]
    documented = {package for row in rows for package in re.findall(r"`([^`]+)`", row)}
    required = {
        re.split(r"[=<>\[]", line.strip())[0]
        for file in (ROOT / "requirements").glob("*.in")
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith(("#", "-"))
    }
    assert required - documented == set()
    assert documented - required <= {"prometheus_client"}


def test_every_decision_has_its_four_parts() -> None:
    records = sorted((DOCS / "decisions").glob("*.md"))
    assert [record.name[:4] for record in records] == [f"{number:04}" for number in range(1, len(records) + 1)]
    for number, record in enumerate(records, 1):
        headings = re.findall(r"^#+ (.+)$", text(record), re.MULTILINE)
        assert headings[0].startswith(f"{number}. ")
        assert headings[1:] == ["Context", "Decision", "What was measured", "What would overturn it"]


def gateway_routes() -> set[tuple[str, str]]:
    """Paths as `edge.gateway` has them; what is called is posted, the rest is read."""
    source = (ROOT / "src" / "tenfold" / "edge" / "gateway.py").read_text(encoding="utf-8")
    posted = set(re.findall(r'"(/v1/[a-z_/]+)": \(', source))
    read = set(re.findall(r'path == "(/[a-z0-9/]+)"', source)) - {"/v1"}
    below = {f"{path}{{model}}" for path in re.findall(r'path\.startswith\("(/v1/\w+/)"\)', source)}
    assert len(posted) == 4
    assert len(read) == 4
    return {("POST", path) for path in posted} | {("GET", path) for path in read | below}


def routes_of(app: FastAPI) -> set[tuple[str, str]]:
    return {(method, route.path) for route in _flat(app.routes) for method in (route.methods or set()) - {"HEAD"}}


def _flat(routes: Iterable[BaseRoute]) -> Iterator[Route]:
    for route in routes:
        if isinstance(route, Route):
            yield route
        else:  # FastAPI keeps included routers as they are
            router: APIRouter = vars(route)["original_router"]
            yield from _flat(router.routes)
