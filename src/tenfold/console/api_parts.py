"""What the routes of the JSON API share: who asks, by bearer key, and how bodies and problems are described."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import Depends, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from tenfold.console.services import ConsoleServices
from tenfold.core.errors import InvalidRequest, Unauthenticated
from tenfold.core.money import parse_usd
from tenfold.core.principal import Principal


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable; for programs.")
    request_id: str
    param: str | None = Field(None, description="The field at fault.")


class Body(BaseModel):
    """A request body: a member nobody knows is a mistake."""

    model_config = ConfigDict(extra="forbid")


# By reference: a model given for each status of each route is checked and described anew, half a second in all of every
# start. `console.app` puts the one description where they point to.
PROBLEM_SCHEMA = "#/components/schemas/Problem"


def _problem(status: int) -> dict[str, object]:
    told = {"application/problem+json": {"schema": {"$ref": PROBLEM_SCHEMA}}}
    return {"description": HTTPStatus(status).phrase, "content": told}


PROBLEMS: dict[int | str, dict[str, object]] = {status: _problem(status) for status in (400, 401, 403, 429, 503)}
MISSING: dict[int | str, dict[str, object]] = {404: _problem(404)}
CONFLICT: dict[int | str, dict[str, object]] = {409: _problem(409)}

PageSize = Annotated[int, Query(ge=1, le=100)]
Word = Annotated[str, Field(max_length=1000)]
OwnerWord = Literal["operator", "tenant"]


def amount_of(text: str, param: str) -> int:
    """10^-9 USD of decimal USD, which travel as text: JSON numbers lose digits. Raises InvalidRequest."""
    try:
        return parse_usd(text)
    except ValueError as error:
        raise InvalidRequest(f"`{param}`: {error}.", param=param) from None


def bearer(services: ConsoleServices) -> Callable[..., Awaitable[Principal]]:
    """The dependency that says who asks. Raises Unauthenticated, StoreUnavailable."""
    scheme = HTTPBearer(auto_error=False, description="An API key.")

    async def principal(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(scheme)]) -> Principal:
        if credentials is None:
            raise Unauthenticated("An API key is needed: Authorization: Bearer <key>.")
        key = credentials.credentials
        return services.keyring.authenticate(key) or await services.keyring.load(key)

    return principal
