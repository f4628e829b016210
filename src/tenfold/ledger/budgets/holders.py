"""The end of a process that held leases, told by whoever may tell it: the process itself, who holds its journal's lock,
or who has waited for it long enough."""

from uuid import UUID

from tenfold.ledger.budgets.ports import HolderRows


class Holders:
    """Both may be repeated, in any order: `close_holder` after `charge_holder` releases what was charged and no receipt
    has spent; the other way round nothing is left to charge."""

    def __init__(self, rows: HolderRows) -> None:
        self._rows = rows

    async def close_holder(self, holder: UUID) -> int:
        """Every receipt of this process is in the database and no more will come: what it held beyond them is free
        again. How many leases. Raises StoreUnavailable."""
        return sum([await self._rows.close(tenant_id, holder) for tenant_id in await self._rows.tenants_of(holder)])

    async def charge_holder(self, holder: UUID) -> int:
        """This process died with its journal: what it held counts as spent, so that no budget is passed whatever it
        spent. Receipts that still arrive draw from that. How many leases. Raises StoreUnavailable."""
        return sum([await self._rows.charge(tenant_id, holder) for tenant_id in await self._rows.tenants_of(holder)])
