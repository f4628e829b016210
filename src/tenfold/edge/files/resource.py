"""The routes below `/v1/files`."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

from msgspec import json

from tenfold.core.errors import InvalidRequest, TenfoldError
from tenfold.core.headers import header_lines
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import SCOPE_INFERENCE, Principal
from tenfold.edge.files.form import OVERHEAD_BYTES, FileForm
from tenfold.edge.http import Request
from tenfold.edge.lists import no_route, number_of, page_of, query_of
from tenfold.inference import respond
from tenfold.inference.files.handlers import Files, check_upload, keep_s_of
from tenfold.inference.files.types import MAX_PAGE, File


class FilesResource:
    """Implements `edge.gateway.Resource`."""

    prefix = "/v1/files"
    routes = (
        ("POST", "/v1/files"),
        ("GET", "/v1/files"),
        ("GET", "/v1/files/{file}"),
        ("DELETE", "/v1/files/{file}"),
        ("GET", "/v1/files/{file}/content"),
    )

    def __init__(self, files: Files, forget: Callable[[TenantId, str], Awaitable[None]] | None = None) -> None:
        """`forget`: what else is to go with a file that is deleted."""
        self._files = files
        self._forget = forget

    async def handle(self, request: Request, principal: Principal) -> None:
        """Raises TenfoldError, ClientGone, CancelledError."""
        principal.require(SCOPE_INFERENCE)
        match request.method, request.path.removeprefix(self.prefix).split("/")[1:]:
            case "POST", []:
                self._answer(request, told(await self._upload(request, principal)))
            case "GET" | "HEAD", []:
                await self._list(request, principal)
            case "GET" | "HEAD", [name]:
                self._answer(request, told(await self._files.find(principal.tenant_id, name)))
            case "DELETE", [name]:
                await self._remove(principal.tenant_id, name)
                self._answer(request, {"id": name, "object": "file", "deleted": True})
            case "GET" | "HEAD", [name, "content"]:
                await self._content(request, await self._files.find(principal.tenant_id, name))
            case _:
                raise no_route(request.method, request.path)

    async def _upload(self, request: Request, principal: Principal) -> File:
        form = FileForm(request.headers.get(b"content-type", b""))
        async with self._files.draft(principal.tenant_id) as draft:
            async for piece in request.pieces(self._files.max_bytes + OVERHEAD_BYTES):
                for data in form.feed(piece):
                    await draft.write(data)
            if not form.ended:
                raise InvalidRequest("The body is not valid multipart/form-data: its end is missing.")
            if form.filename is None:
                raise InvalidRequest("Missing required parameter: 'file'.", param="file")
            filename, purpose = check_upload(draft, form.filename, form.fields.get("purpose"))
            keep_s = keep_s_of(
                purpose, form.fields.get("expires_after[anchor]"), form.fields.get("expires_after[seconds]")
            )
            return await draft.finish(filename, purpose, keep_s)

    async def _remove(self, tenant_id: TenantId, name: str) -> None:
        """The file goes last: until then all of it can be asked for again."""
        if self._forget is not None:
            await self._files.find(tenant_id, name)
            await self._forget(tenant_id, name)
        await self._files.remove(tenant_id, name)

    async def _list(self, request: Request, principal: Principal) -> None:
        options = query_of(request.query)
        page = await self._files.list(
            principal.tenant_id,
            purpose=options.get("purpose"),
            after=options.get("after"),
            order=options.get("order", "desc"),
            limit=number_of(options, "limit", MAX_PAGE),
        )
        self._answer(request, page_of([told(file) for file in page.items], page.has_more))

    async def _content(self, request: Request, file: File) -> None:
        lines = header_lines(
            [
                ("content-type", "application/octet-stream"),
                ("content-disposition", f"attachment; filename*=UTF-8''{quote(file.filename, safe='')}"),
                ("x-content-type-options", "nosniff"),  # whoever uploaded it chose what it says
                ("x-request-id", f"req_{uuid7().hex}"),
            ]
        )
        sender = request.stream(200, lines)
        if request.method != "HEAD":
            try:
                async for chunk in self._files.content(file.tenant_id, file.id, file.bytes):
                    await sender.send_bytes(chunk)
            except TenfoldError:  # it was deleted, or the database went away: the client must see that this is not all
                request.abort()
                return
        request.finish()

    def _answer(self, request: Request, value: dict[str, Any]) -> None:
        lines = respond.JSON + respond.request_id_lines("openai", f"req_{uuid7().hex}")
        request.whole(200, lines, json.encode(value))


def told(file: File) -> dict[str, Any]:
    """A file as OpenAI tells it."""
    expires = {} if file.expires_at is None else {"expires_at": int(file.expires_at.timestamp())}
    return {
        "id": file.public_id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created_at.timestamp()),
        **expires,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
    }
