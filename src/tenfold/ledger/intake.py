"""Receipts into the database, whoever brings them: one transaction a tenant, and what the database has against one
receipt keeps back no other."""

import asyncio
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.ledger.ports import ReceiptRows
from tenfold.ledger.types import Receipt

logger = logging.getLogger(__name__)

BATCH_ROWS = 500  # of one transaction
REFUSED_FILE = "refused.jsonl"


class Intake:
    """Counters: `written` (new in the database), `refused` by it, or no receipts at all (kept in `refused.jsonl` in
    `directory`, for a person to look at)."""

    def __init__(self, rows: ReceiptRows, directory: Path) -> None:
        self.rows = rows
        self._directory = directory
        self.written = 0
        self.refused = 0

    async def add(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """Returns those that were not there before. Raises StoreUnavailable; all of them can be added again then."""
        new: list[Receipt] = []
        for tenant_id, its in _by_tenant(receipts).items():
            for start in range(0, len(its), BATCH_ROWS):
                new += await self._add(tenant_id, its[start : start + BATCH_ROWS])
        return new

    async def keep_damaged(self, lines: Sequence[bytes]) -> None:
        """Lines of a journal that are no receipts."""
        self.refused += len(lines)
        await self._keep(b"".join(line + b"\n" for line in lines))

    async def _add(self, tenant_id: TenantId, receipts: list[Receipt]) -> list[Receipt]:
        try:
            new = await self.rows.add(tenant_id, receipts)
        except StoreUnavailable:
            raise
        except Exception:  # whatever the database has against one receipt must not keep back all the others
            if len(receipts) == 1:
                logger.exception("the database refused the receipt %s; it is kept in %s", receipts[0].id, REFUSED_FILE)
                self.refused += 1
                await self._keep(msgspec.json.encode(receipts[0]) + b"\n")
                return []
            middle = len(receipts) // 2
            return [*await self._add(tenant_id, receipts[:middle]), *await self._add(tenant_id, receipts[middle:])]
        self.written += len(new)
        return new

    async def _keep(self, lines: bytes) -> None:
        try:
            await asyncio.to_thread(_append, self._directory / REFUSED_FILE, lines)
        except OSError:
            logger.exception("what was refused could not be kept: %r", lines)


def _append(path: Path, lines: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with open(descriptor, "ab") as file:  # noqa: PTH123 - a descriptor
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())


def _by_tenant(receipts: Sequence[Receipt]) -> dict[TenantId, list[Receipt]]:
    tenants: dict[TenantId, list[Receipt]] = {}
    for receipt in receipts:
        tenants.setdefault(receipt.tenant_id, []).append(receipt)
    return tenants
