"""Identifiers: UUIDv7 made by the application (RFC 9562), so that rows sort by time without a sequence."""

import random
import time
import uuid
from typing import NewType

TenantId = NewType("TenantId", uuid.UUID)
KeyId = NewType("KeyId", uuid.UUID)
UserId = NewType("UserId", uuid.UUID)
CallId = NewType("CallId", uuid.UUID)

_VERSION_AND_VARIANT = (0x7 << 76) | (0x2 << 62)
_RANDOM_MASK = ((1 << 12) - 1) << 64 | ((1 << 62) - 1)


def uuid7() -> uuid.UUID:
    """A UUIDv7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, 74 random bits."""
    # Ids are names, not secrets: the generator seeded from the system, and anew in each forked process, will do.
    random_bits = random.getrandbits(80) & _RANDOM_MASK
    return uuid.UUID(int=(time.time_ns() // 1_000_000) << 80 | _VERSION_AND_VARIANT | random_bits)
