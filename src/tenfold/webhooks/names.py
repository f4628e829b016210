"""Endpoints, deliveries and events as the outside names them: a prefix and the 32 hex digits of the id."""

from uuid import UUID

ENDPOINT, DELIVERY, EVENT = "we_", "dlv_", "evt_"


def name_of(prefix: str, id_: UUID) -> str:
    return prefix + id_.hex
