"""Endpoints, deliveries and events as the outside names them: a prefix and the 32 hex digits of the id."""

import re
from uuid import UUID

ENDPOINT, DELIVERY, EVENT = "we_", "dlv_", "evt_"

_HEX = re.compile(r"[0-9a-f]{32}")


def name_of(prefix: str, id_: UUID) -> str:
    return prefix + id_.hex


def id_of(prefix: str, name: str) -> UUID | None:
    """None: nothing is named so."""
    digits = name.removeprefix(prefix)
    return UUID(hex=digits) if name.startswith(prefix) and _HEX.fullmatch(digits) else None
