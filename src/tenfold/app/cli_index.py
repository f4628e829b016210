"""`tenfold index`: what is derived of a tenant's documents, looked at, made anew and proven."""

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click
from msgspec import to_builtins

from tenfold.app.cli_parts import (
    FAILED,
    MISUSED,
    configured,
    fail,
    json_option,
    paged,
    run,
    show,
    table,
    tenant_option,
)

if TYPE_CHECKING:
    from tenfold.app.indexing import IndexDesk
    from tenfold.app.settings import Settings
    from tenfold.core.ids import TenantId
    from tenfold.retrieval.index.progress import Part, Progress
    from tenfold.retrieval.index.types import Compared, IndexStatus, Rebuilt

_kb = click.option("--kb", "names", multiple=True, metavar="NAME", help="Of this knowledge base alone. Repeatable.")


@click.group()
def index() -> None:
    """The index of knowledge bases: a cache of their documents, which can be made again from them."""


@index.command("status")
@tenant_option
@paged
@json_option
@configured
def index_status(settings: "Settings", slug: str, limit: int, after: str | None, as_json: bool) -> None:
    """Show the knowledge bases of a tenant: how many vectors they have, and whether another embedder takes over."""

    async def work(desk: "IndexDesk", tenant_id: "TenantId") -> None:
        from tenfold.retrieval.index.keeping import statuses

        found = list(await statuses(desk.store, tenant_id, desk.embedders, after=after or "", limit=limit + 1))
        page = found[:limit]
        cursor = page[-1].kb if len(found) > limit else None
        show({"items": to_builtins(page), "cursor": cursor}, as_json, table([_words(each) for each in page], cursor))

    _at_index(settings, slug, work)


@index.command("embed")
@tenant_option
@_kb
@json_option
@configured
def index_embed(settings: "Settings", slug: str, names: tuple[str, ...], as_json: bool) -> None:
    """Make the vectors that are missing, and those of the bundled model where another one made them. Searches go on
    meanwhile; it may be stopped and goes on from there. Vectors of a configured model are made by serving processes."""
    if settings.retrieval.embedder != "offline":
        fail(
            f"{settings.retrieval.embedder} is called at a tenant's expense, which serving processes do of their own"
            " accord: `tenfold index status` tells how far they are.",
            MISUSED,
        )

    async def work(desk: "IndexDesk", tenant_id: "TenantId") -> None:
        from tenfold.retrieval.embedding import embed_missing
        from tenfold.retrieval.index.vectors import reembed

        made = {}
        for kb in await _names(desk, tenant_id, names):
            filled = await embed_missing(desk.store, tenant_id, kb, desk.embedders)
            anew = await reembed(desk.store, tenant_id, kb, desk.embedders, _progress(kb))
            made[kb] = (filled or 0) + anew
        lines = [f"{kb}: {_counted(count, 'vector')} made" for kb, count in made.items()]
        show({"made": made}, as_json, table(lines, None))

    _at_index(settings, slug, work)


@index.command("rebuild")
@tenant_option
@_kb
@click.option(
    "--part",
    "parts",
    type=click.Choice(["documents", "words", "vectors"]),
    multiple=True,
    help="This part alone. Repeatable.",
)
@click.option("--swap", is_flag=True, help="Let what was made take the place of what is searched.")
@json_option
@configured
def index_rebuild(
    settings: "Settings", slug: str, names: tuple[str, ...], parts: "tuple[Part, ...]", swap: bool, as_json: bool
) -> None:
    """Make everything that is derived of documents again, beside what is searched, and compare the two. Exits with 1
    where they differ, and tells in what. Searches go on meanwhile; documents and words are compared while nobody else
    writes."""

    async def work(desk: "IndexDesk", tenant_id: "TenantId") -> None:
        from tenfold.retrieval.index.rebuild import PARTS, rebuild

        found = [
            await rebuild(
                desk.store,
                tenant_id,
                kb,
                desk.embedders,
                parts=parts or PARTS,
                switch=swap,
                progress=_progress(kb),
            )
            for kb in await _names(desk, tenant_id, names)
        ]
        told = {"equal": all(each.equal for each in found), "items": [_told(each) for each in found]}
        show(told, as_json, "\n".join(line for each in found for line in _lines(each)) or "none")
        if not told["equal"]:
            raise SystemExit(FAILED)

    _at_index(settings, slug, work)


def _at_index(settings: "Settings", slug: str, work: "Callable[[IndexDesk, TenantId], Awaitable[None]]") -> None:
    from tenfold.app.indexing import open_index_desk

    async def opened() -> None:
        async with open_index_desk(settings) as desk:
            await work(desk, (await desk.tenants.tenant(slug)).id)

    run(opened())


async def _names(desk: "IndexDesk", tenant_id: "TenantId", given: tuple[str, ...]) -> list[str]:
    """All of the tenant's, unless some are named. Raises NotFound."""
    from tenfold.core.errors import NotFound
    from tenfold.retrieval.index.keeping import statuses

    found: list[str] = []
    while page := await statuses(desk.store, tenant_id, desk.embedders, after=found[-1] if found else ""):
        found += [each.kb for each in page]
    for name in given:
        if name not in found:
            raise NotFound(f"There is no knowledge base '{name}'.")
    return list(given) or found


def _progress(kb: str) -> "Progress":
    """One line that is written over, where somebody looks."""
    from tenfold.retrieval.index.progress import nobody_looks

    if not sys.stderr.isatty():
        return nobody_looks

    def told(part: "Part", done: int, of: int) -> None:
        end = "\n" if done >= of else "\r"
        click.echo(f"{kb}: {part} {done:,} of {of:,}{end}", nl=False, err=True)

    return told


def _words(status: "IndexStatus") -> str:
    documents, chunks = _counted(status.documents, "document"), _counted(status.chunks, "chunk")
    line = f"{status.kb}: {documents}, {chunks}, {_state(status)}"
    if status.without_text:
        line += f", {_counted(status.without_text, 'document')} whose text was not kept"
    return line + (f", {status.discarded} old sets to delete" if status.discarded else "")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _state(status: "IndexStatus") -> str:
    if status.state == "switching":
        return f"{status.next_embedder} takes over: {status.next_embedded} of {status.chunks} vectors"
    if status.embedder is None:
        return "no vectors"
    if status.state == "ready":
        return f"searched by words and vectors of {status.embedder}"
    return f"searched by words, {status.embedded} of {status.chunks} vectors of {status.embedder}"


def _told(found: "Rebuilt") -> dict[str, Any]:
    parts = [to_builtins(part) | {"equal": part.equal} for part in found.parts]
    return {"kb": found.kb, "equal": found.equal, "parts": parts}


def _lines(found: "Rebuilt") -> list[str]:
    lines: list[str] = []
    for part in found.parts:
        lines.append(f"{found.kb}: {_part(part)}")
        lines += [f"  {example}" for example in part.examples]
        if part.differing > len(part.examples):
            lines.append(f"  and {part.differing - len(part.examples)} more")
    return lines


def _part(part: "Compared") -> str:
    verdict = "equal" if part.equal else f"{part.differing} differ"
    line = f"{part.part} {verdict}, {part.checked} compared"
    if part.lowest_cosine is not None:
        line += f", lowest cosine {part.lowest_cosine:.6f}"
    return line + (", swapped" if part.switched else "")
