"""The values of idempotency: what is claimed under a key, and what is found there. Values only."""

import hashlib
from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from tenfold.core.ids import TenantId

KEEP_S = 24 * 3600
"""How long a key is known, from its claim on."""

Found = Literal["new", "in_flight", "done", "interrupted", "too_large", "mismatch"]


class Claim(Struct, frozen=True, kw_only=True):
    """One call under one key. `key` and `request_hash` are SHA-256 digests."""

    tenant_id: TenantId
    key: bytes
    request_hash: bytes
    call_id: UUID
    call_at: datetime  # `at` of the call's receipt
    holder: UUID  # the process that makes the call


class StoredReply(Struct, frozen=True, kw_only=True):
    """What was sent to the client, and what its headers told. `body` of a stream: all of its frames."""

    ended: Literal["ok", "error", "cut"]
    http_status: int
    stream: bool
    model: str
    provider: str | None
    upstream_model: str | None
    upstream_request_id: str | None
    ignored: tuple[str, ...]
    body: bytes


class Claimed(Struct, frozen=True, kw_only=True):
    """The answer to a claim.

    `new`: the key is the claim's, which ends in `finish`, `interrupt` or `release`. `in_flight`: another call has it.
    `done`: its `reply` is stored. `interrupted`: its call was broken off and is charged once. `too_large`: its reply
    was sent, charged, and was too large to keep. `mismatch`: it belongs to another request."""

    found: Found
    reply: StoredReply | None = None
    first: tuple[UUID, datetime] | None = None  # id and `at` of the call that has, or had, the key


def key_digest(key: str) -> bytes:
    """Keys may hold names of people or orders, and are never needed again."""
    return hashlib.sha256(key.encode()).digest()
