"""Bodies of requests for vector stores, as OpenAI documents them. Pure."""

import re
from typing import Any, Literal, TypeVar

from msgspec import UNSET, Struct, UnsetType, ValidationError, convert, structs

from tenfold.core.errors import InvalidRequest
from tenfold.core.json_guard import load_json
from tenfold.retrieval.types import Chunking, Scalar

_Asked = TypeVar("_Asked", bound=Struct)

_FIELD_AT_FAULT = re.compile(r"Object (missing required|contains unknown) field `(.+)`", re.DOTALL)


class _Static(Struct, forbid_unknown_fields=True):
    max_chunk_size_tokens: int
    chunk_overlap_tokens: int


class StaticChunking(Struct, forbid_unknown_fields=True, tag_field="type", tag="static"):
    static: _Static


class AutoChunking(Struct, forbid_unknown_fields=True, tag_field="type", tag="auto"):
    pass


ChunkingStrategy = StaticChunking | AutoChunking


class ExpiresAfter(Struct, forbid_unknown_fields=True):
    anchor: Literal["last_active_at"]
    days: int


class NewStoreBody(Struct, forbid_unknown_fields=True):
    name: str | None = None
    description: str | None = None
    file_ids: list[str] | None = None
    expires_after: ExpiresAfter | None = None
    chunking_strategy: ChunkingStrategy | None = None
    metadata: dict[str, str] | None = None


class StoreBody(Struct, forbid_unknown_fields=True):
    """What is to be changed of a store."""

    name: str | UnsetType | None = UNSET
    expires_after: ExpiresAfter | UnsetType | None = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET


class FileBody(Struct, forbid_unknown_fields=True):
    file_id: str
    attributes: dict[str, Scalar] | None = None
    chunking_strategy: ChunkingStrategy | None = None


class AttributesBody(Struct, forbid_unknown_fields=True):
    attributes: dict[str, Scalar] | None


class BatchBody(Struct, forbid_unknown_fields=True):
    file_ids: list[str] | None = None
    files: list[FileBody] | None = None
    attributes: dict[str, Scalar] | None = None
    chunking_strategy: ChunkingStrategy | None = None


class SearchBody(Struct, forbid_unknown_fields=True):
    query: str | list[str]
    rewrite_query: bool = False
    max_num_results: int = 10
    filters: dict[str, Any] | None = None
    ranking_options: dict[str, Any] | None = None


def read(body: bytes, kind: type[_Asked]) -> _Asked:
    """An empty body is an empty object. Raises InvalidRequest."""
    try:
        return convert(load_json(body or b"{}"), kind)
    except ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        param = where.strip("`.").removesuffix("[...]")
        if at_fault := _FIELD_AT_FAULT.fullmatch(what):
            param = f"{param}.{at_fault[2][:80]}".lstrip(".")
            what = f"{'Unknown' if 'unknown' in at_fault[1] else 'Missing required'} parameter: '{param}'"
        raise InvalidRequest(f"{what}.", param=param or None) from None


def chunking_of(asked: ChunkingStrategy | None) -> Chunking | None:
    if not isinstance(asked, StaticChunking):
        return None
    given = structs.asdict(asked.static)
    return Chunking(max_tokens=given["max_chunk_size_tokens"], overlap_tokens=given["chunk_overlap_tokens"])
