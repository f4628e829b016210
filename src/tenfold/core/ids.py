"""Identifiers: UUIDv7 made by the application (RFC 9562), so that rows sort by time without a sequence."""

import random
import re
import time
import uuid
from typing import NewType

TenantId = NewType("TenantId", uuid.UUID)
KeyId = NewType("KeyId", uuid.UUID)
UserId = NewType("UserId", uuid.UUID)
CallId = NewType("CallId", uuid.UUID)

_VERSION_AND_VARIANT = (0x7 << 76) | (0x2 << 62)
_HEX = re.compile(r"[0-9a-f]{32}")
_RANDOM_MASK = ((1 << 12) - 1) << 64 | ((1 << 62) - 1)


def uuid7() -> uuid.UUID:
    """A UUIDv7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, 74 random bits."""
    # Ids are names, not secrets: the generator seeded from the system, and anew in each forked process, will do.
    random_bits = random.getrandbits(80) & _RANDOM_MASK
    return uuid.UUID(int=(time.time_ns() // 1_000_000) << 80 | _VERSION_AND_VARIANT | random_bits)


def id_named(prefix: str, name: str) -> uuid.UUID | None:
    """Of a thing the outside names by a prefix and the 32 hex digits of its id (`job_01a2...`). None: it is no such
    name."""
    digits = name.removeprefix(prefix)
    return uuid.UUID(hex=digits) if name.startswith(prefix) and _HEX.fullmatch(digits) else None
