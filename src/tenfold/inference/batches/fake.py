"""Batches in memory, for tests of whatever stands on them; under the contract suite of the real ones."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import structs

from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.inference.batches.types import KEEP_S, Batch, Ended, LineError, LineResult, Spec, Status, Tokens
from tenfold.inference.files.fake import FakeFileRows
from tenfold.inference.files.types import BATCH_OUTPUT

_PAGE_BYTES = 4 * 1024 * 1024
_OVERDUE = timedelta(hours=1)


@dataclass
class _Kept:
    batch: Batch
    results: dict[int, LineResult] = field(default_factory=dict)
    delete_at: datetime | None = None


class FakeBatchRows:
    """On the files in memory whose drafts become its output. Set `away` to make every call raise StoreUnavailable."""

    def __init__(self, clock: Clock, files: FakeFileRows) -> None:
        self.away = False
        self._clock = clock
        self._files = files
        self._kept: dict[tuple[TenantId, UUID], _Kept] = {}
        files.in_use = self._reads

    async def add(self, spec: Spec) -> Batch:
        await self._reach()
        tenant_id, now = spec.principal.tenant_id, self._clock.now()
        if (tenant_id, spec.id) not in self._kept:
            batch = Batch(
                tenant_id=tenant_id,
                spec=spec,
                status="validating",
                model=None,
                errors=[],
                output_file_id=None,
                error_file_id=None,
                total=0,
                completed=0,
                failed=0,
                tokens=Tokens(),
                cost_nano=0,
                created_at=now,
                expires_at=now + timedelta(seconds=spec.window_s),
                in_progress_at=None,
                finalizing_at=None,
                cancelling_at=None,
                ended_at=None,
                version=1,
                lapsed=False,
                late=False,
                running_s=0.0,
            )
            self._kept[tenant_id, spec.id] = _Kept(batch)
        return self._told(self._kept[tenant_id, spec.id])

    async def find(self, tenant_id: TenantId, batch_id: UUID) -> Batch | None:
        await self._reach()
        return self._now(tenant_id, batch_id)

    async def page(self, tenant_id: TenantId, *, after: UUID | None, limit: int) -> list[Batch]:
        await self._reach()
        mine = sorted((at for at in self._kept if at[0] == tenant_id), key=lambda at: at[1], reverse=True)
        return [self._told(self._kept[at]) for at in mine if after is None or at[1] < after][:limit]

    async def begin(self, tenant_id: TenantId, batch_id: UUID, *, total: int, model: str | None) -> Batch | None:
        await self._reach()
        now = self._clock.now()
        self._change(
            tenant_id, batch_id, {"validating"}, status="in_progress", in_progress_at=now, total=total, model=model
        )
        return self._now(tenant_id, batch_id)

    async def done(self, tenant_id: TenantId, batch_id: UUID) -> list[int]:
        await self._reach()
        kept = self._kept.get((tenant_id, batch_id))
        return [] if kept is None else list(kept.results)

    async def record(self, tenant_id: TenantId, batch_id: UUID, results: Sequence[LineResult]) -> Batch | None:
        await self._reach()
        kept = self._kept.get((tenant_id, batch_id))
        if kept is not None and not kept.batch.ended:
            new = {one.line: one for one in reversed(results) if one.line not in kept.results}
            kept.results |= new
            batch = kept.batch
            tokens = {name: getattr(batch.tokens, name) for name in Tokens.__struct_fields__}
            for one in new.values():
                tokens = {name: count + getattr(one.tokens, name) for name, count in tokens.items()}
            kept.batch = structs.replace(
                batch,
                completed=batch.completed + sum(not one.failed for one in new.values()),
                failed=batch.failed + sum(one.failed for one in new.values()),
                tokens=Tokens(**tokens),
                cost_nano=batch.cost_nano + sum(one.cost_nano for one in new.values()),
                version=batch.version + bool(new),
            )
        return self._now(tenant_id, batch_id)

    async def finalize(self, tenant_id: TenantId, batch_id: UUID, *, lapsed: bool) -> Batch | None:
        await self._reach()
        now = self._clock.now()
        self._change(tenant_id, batch_id, {"in_progress"}, status="finalizing", finalizing_at=now, lapsed=lapsed)
        return self._now(tenant_id, batch_id)

    async def results(self, tenant_id: TenantId, batch_id: UUID, *, failed: bool, after: int) -> list[LineResult]:
        await self._reach()
        kept = self._kept.get((tenant_id, batch_id))
        found, size = list[LineResult](), 0
        for line, one in sorted(kept.results.items() if kept is not None else ()):
            if one.failed == failed and line > after and size < _PAGE_BYTES:
                found.append(LineResult(line=line, failed=failed, data=one.data))
                size += len(one.data)
        return found

    async def end(
        self,
        tenant_id: TenantId,
        batch_id: UUID,
        status: Ended,
        *,
        errors: Sequence[LineError] = (),
        output: UUID | None = None,
        refused: UUID | None = None,
        keep_s: float,
    ) -> Batch | None:
        await self._reach()
        kept = self._kept.get((tenant_id, batch_id))
        if kept is None or kept.batch.ended:
            return None
        self._end(kept, status, errors=list(errors), output_file_id=output, error_file_id=refused)
        for draft, what in ((output, "output"), (refused, "errors")):
            if draft is not None:
                name = f"batch_{batch_id.hex}_{what}.jsonl"
                self._files.finish_now(tenant_id, draft, name, BATCH_OUTPUT, keep_s=keep_s)
        return self._told(kept)

    async def clear(self, tenant_id: TenantId, batch_id: UUID, *, limit: int) -> int:
        await self._reach()
        kept = self._kept.get((tenant_id, batch_id))
        old = [] if kept is None or not kept.batch.ended else sorted(kept.results)[:limit]
        for line in old:
            assert kept is not None
            del kept.results[line]
        return len(old)

    async def cancel(self, tenant_id: TenantId, batch_id: UUID) -> Batch | None:
        await self._reach()
        kept, now = self._kept.get((tenant_id, batch_id)), self._clock.now()
        if kept is not None and kept.batch.status == "validating":
            self._end(kept, "cancelled", cancelling_at=now)
        self._change(tenant_id, batch_id, {"in_progress"}, status="cancelling", cancelling_at=now)
        return self._now(tenant_id, batch_id)

    async def tenants_old(self) -> list[TenantId]:
        await self._reach()
        return list({at[0] for at, kept in self._kept.items() if self._is_old(kept) or self._is_overdue(kept)})

    async def overdue(self, tenant_id: TenantId, *, limit: int) -> list[Batch]:
        await self._reach()
        mine = [kept for at, kept in self._kept.items() if at[0] == tenant_id and self._is_overdue(kept)]
        return [self._told(kept) for kept in mine][:limit]

    async def expire(self, tenant_id: TenantId, *, limit: int) -> int:
        await self._reach()
        old = [at for at, kept in self._kept.items() if at[0] == tenant_id and self._is_old(kept)][:limit]
        for at in old:
            del self._kept[at]
        return len(old)

    # -- inside ------------------------------------------------------------------------------------

    def _change(self, tenant_id: TenantId, batch_id: UUID, of: set[Status], **changes: object) -> None:
        kept = self._kept.get((tenant_id, batch_id))
        if kept is not None and kept.batch.status in of:
            kept.batch = structs.replace(kept.batch, version=kept.batch.version + 1, **changes)

    def _end(self, kept: _Kept, status: Ended, **changes: object) -> None:
        now, batch = self._clock.now(), kept.batch
        kept.batch = structs.replace(batch, status=status, ended_at=now, version=batch.version + 1, **changes)
        kept.delete_at = now + timedelta(seconds=KEEP_S)

    def _now(self, tenant_id: TenantId, batch_id: UUID) -> Batch | None:
        kept = self._kept.get((tenant_id, batch_id))
        return None if kept is None else self._told(kept)

    def _told(self, kept: _Kept) -> Batch:
        batch, now = kept.batch, self._clock.now()
        began, until = batch.in_progress_at, batch.ended_at or now
        running_s = 0.0 if began is None else (until - began).total_seconds()
        return structs.replace(batch, late=batch.expires_at <= now, running_s=running_s)

    def _is_old(self, kept: _Kept) -> bool:
        return kept.delete_at is not None and kept.delete_at <= self._clock.now()

    def _is_overdue(self, kept: _Kept) -> bool:
        return not kept.batch.ended and kept.batch.expires_at + _OVERDUE <= self._clock.now()

    def _reads(self, tenant_id: TenantId, file_id: UUID) -> bool:
        mine = (kept.batch for at, kept in self._kept.items() if at[0] == tenant_id)
        return any(batch.spec.input_file_id == file_id and not batch.ended for batch in mine)

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("The database is away.")
