"""Who looks at a page, and the forms they send: the session behind the cookie, and the token their forms carry."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from tenfold.access.types import Session
from tenfold.console.security import Cookies, check_form, form_token, new_visitor
from tenfold.console.services import AccountService
from tenfold.core.errors import StoreUnavailable

MAX_FIELDS = 20


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """`session` is None for someone not signed in; their forms are bound to `anonymous_id` instead."""

    session: Session | None
    token: str
    anonymous_id: str = ""

    @property
    def form_token(self) -> str:
        return form_token(self.token)


class Visitors:
    def __init__(self, accounts: AccountService, cookies: Cookies) -> None:
        self._accounts = accounts
        self._cookies = cookies

    async def visitor(self, request: Request) -> Visitor:
        """Raises StoreUnavailable."""
        token = self._cookies.session(request)
        session = await self._accounts.session(token) if token else None
        return Visitor(session=session, token=token) if session else self.anonymous(request)

    async def reader(self, request: Request) -> Visitor:
        """Someone who only reads: pages that need no database are shown without it, too."""
        try:
            return await self.visitor(request)
        except StoreUnavailable:
            return self.anonymous(request)

    def anonymous(self, request: Request) -> Visitor:
        anonymous_id = self._cookies.visitor(request) or new_visitor()
        return Visitor(session=None, token=anonymous_id, anonymous_id=anonymous_id)

    async def form(self, request: Request, visitor: Visitor) -> dict[str, str]:
        """The text fields of a form that is ours. Raises PermissionDenied."""
        fields = await form_fields(request)
        # A visitor without a cookie was given a new token just now, which no form can hold yet.
        cookie = visitor.token if visitor.session else self._cookies.visitor(request)
        check_form(request, cookie, fields.get("form_token", ""))
        return fields

    @asynccontextmanager
    async def upload(self, request: Request, visitor: Visitor, *, max_files: int) -> AsyncIterator[list[UploadFile]]:
        """The files of a form that is ours, without the fields that were left empty. Raises PermissionDenied."""
        async with request.form(max_files=max_files, max_fields=MAX_FIELDS) as form:
            token = form.get("form_token", "")
            cookie = visitor.token if visitor.session else self._cookies.visitor(request)
            check_form(request, cookie, token if isinstance(token, str) else "")
            yield [file for _, file in form.multi_items() if isinstance(file, UploadFile) and file.filename]

    def remember(self, request: Request, response: Response, visitor: Visitor) -> None:
        """So that the forms of the page just shown are known as this visitor's."""
        if visitor.anonymous_id and visitor.anonymous_id != self._cookies.visitor(request):
            self._cookies.set_visitor(request, response, visitor.anonymous_id)


async def form_fields(request: Request) -> dict[str, str]:
    """A field given twice has its values joined by a blank (check boxes)."""
    form = await request.form(max_files=0, max_fields=MAX_FIELDS)
    fields: dict[str, str] = {}
    for name, value in form.multi_items():
        if isinstance(value, str):
            fields[name] = f"{fields[name]} {value}" if name in fields else value
    return fields


def client_of(request: Request) -> str:
    return request.client.host if request.client else ""
