"""Routes of Knowledge: the documents that the assistant answers from, and the place in one that a citation leads to."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import pairwise

from fastapi import APIRouter
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from tenfold.console.knowledge_services import KnowledgeService, KnowledgeText
from tenfold.console.markdown import quoted_html
from tenfold.console.site import Site, see_other
from tenfold.console.views import FormError, KnowledgePage, Piece, PlacePage
from tenfold.console.visitors import Visitor
from tenfold.core.errors import Conflict, InvalidRequest, RateLimited, TooLarge
from tenfold.core.principal import Principal

PAGE_SIZE = 20
PART_CHARS = 20_000  # of a document on one page
MAX_FILES = 20  # of one form
_PIECE_BYTES = 64 * 1024


def knowledge_routes(site: Site, knowledge: KnowledgeService) -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    async def shown(
        request: Request,
        visitor: Visitor,
        principal: Principal,
        *,
        cursor: str | None = None,
        error: FormError | None = None,
        status: int = 200,
    ) -> Response:
        found = await knowledge.files(principal.tenant_id, cursor=cursor, limit=PAGE_SIZE)
        page = KnowledgePage(
            files=found.items,
            cursor=found.cursor,
            counts=found.counts,
            first_page=cursor is None,
            max_bytes=knowledge.max_upload_bytes,
            error=error,
        )
        return site.show(request, page, visitor, status)

    @routes.get("/knowledge")
    async def list_files(request: Request) -> Response:
        visitor = await site.visitors.visitor(request)
        if visitor.session is None:
            return see_other("/login")
        return await shown(request, visitor, visitor.session.principal, cursor=request.query_params.get("cursor"))

    @routes.post("/knowledge")
    async def add_files(request: Request) -> Response:
        visitor = await site.visitors.visitor(request)
        if visitor.session is None:
            return see_other("/login")
        principal = visitor.session.principal
        try:
            async with site.visitors.upload(request, visitor, max_files=MAX_FILES) as files:
                await add_all(principal, files)
        except (InvalidRequest, TooLarge, Conflict, RateLimited) as refused:
            error = FormError(message=refused.message, field="file")
            return await shown(request, visitor, principal, error=error, status=refused.status)
        return see_other("/knowledge")

    async def add_all(principal: Principal, files: list[UploadFile]) -> None:
        """Of several files those that can be are added, and the others named."""
        if not files:
            raise InvalidRequest("Choose a file first.", param="file")
        refusals: list[InvalidRequest | TooLarge | Conflict] = []
        for file in files:
            name = file.filename or "file"
            try:
                async with aclosing(_pieces(file)) as pieces:
                    await knowledge.add(principal, name, pieces)
            except (InvalidRequest, TooLarge, Conflict) as refused:
                refused.message = f"{name}: {refused.message}"
                refusals.append(refused)
        if refusals:
            refusals[0].message = " ".join(refused.message for refused in refusals)
            raise refusals[0]

    @routes.post("/knowledge/{file_id}/delete")
    async def delete_file(request: Request, file_id: str) -> Response:
        visitor = await site.visitors.visitor(request)
        if visitor.session is None:
            return see_other("/login")
        await site.visitors.form(request, visitor)
        await knowledge.remove(visitor.session.principal, file_id)
        return see_other("/knowledge")

    @routes.get("/knowledge/{file_id}")
    async def place(request: Request, file_id: str) -> Response:
        visitor = await site.visitors.visitor(request)
        if visitor.session is None:
            return see_other("/login")
        text = await knowledge.text(visitor.session.principal.tenant_id, file_id)
        query = request.query_params
        cited = _span(query.get("from"), query.get("to"), len(text.text))
        part = _number(query.get("part"), 1) - 1
        return site.show(request, place_page(text, cited, part), visitor)

    return routes


def place_page(text: KnowledgeText, cited: tuple[int, int] | None, part: int) -> PlacePage:
    """The part of the document with this number (from 0), or the one in which the cited characters begin."""
    parts = _parts(text.text)
    if cited is not None:
        part = sum(1 for start, _ in parts if start <= cited[0]) - 1
    part = min(max(part, 0), len(parts) - 1)
    start, end = parts[part]
    return PlacePage(
        title=text.title or text.file.name,
        file=text.file,
        pieces=_cut(text, start, max(end, cited[1] if cited else 0), cited),
        part=part + 1,
        parts=len(parts),
        where=_where(text.pages, cited) if cited else "",
        is_cited=cited is not None,
    )


def _cut(text: KnowledgeText, start: int, end: int, cited: tuple[int, int] | None) -> list[Piece]:
    """Pieces of the part, cut where a page begins and where the cited characters do and end."""
    pages = {at: number for number, at in enumerate(text.pages, 1)}
    cuts = sorted({start, end, *(at for at in [*pages, *(cited or ())] if start < at < end)})
    pieces = []
    for begin, stop in pairwise(cuts):
        is_cited = cited is not None and cited[0] <= begin < cited[1]
        pieces.append(Piece(html=quoted_html(text.text[begin:stop]), page=pages.get(begin), is_cited=is_cited))
    return pieces


def _parts(text: str) -> list[tuple[int, int]]:
    """Where the parts of a document begin and end: about PART_CHARS each, cut at a paragraph or a line."""
    parts, start = [], 0
    while len(text) - start > PART_CHARS:
        end = start + PART_CHARS
        for sign in ("\n\n", "\n", " "):
            place = text.rfind(sign, start + PART_CHARS // 2, end)
            if place >= 0:
                end = place + len(sign)
                break
        parts.append((start, end))
        start = end
    return [*parts, (start, len(text))]


def _where(pages: tuple[int, ...], cited: tuple[int, int]) -> str:
    """The pages that the characters stand on, in words; "" where the file has none."""
    first, last = (sum(1 for start in pages if start <= at) for at in (cited[0], cited[1] - 1))
    if not first:
        return ""
    return f"page {first}" if first == last else f"pages {first} to {last}"


def _span(start: str | None, end: str | None, size: int) -> tuple[int, int] | None:
    """None: not said, or no place in the document, which may have changed since."""
    span = (_number(start, -1), _number(end, -1))
    return span if 0 <= span[0] < span[1] <= size else None


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 12 else otherwise


async def _pieces(file: UploadFile) -> AsyncGenerator[bytes, None]:
    while piece := await file.read(_PIECE_BYTES):
        yield piece
