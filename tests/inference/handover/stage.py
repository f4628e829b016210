"""A batch, the vendors it may be handed over to, and what is charged for it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import json

from tenfold.core.clock import FakeClock
from tenfold.core.errors import NotFound
from tenfold.core.ids import TenantId
from tenfold.core.usage import Usage
from tenfold.edge.dialects.openai import OpenAIDialect
from tenfold.inference.batches.fake import FakeBatchRows
from tenfold.inference.batches.ports import Why
from tenfold.inference.batches.types import Batch, Endpoint, LineResult
from tenfold.inference.files.fake import FakeFileRows
from tenfold.inference.handover.charging import Charging
from tenfold.inference.handover.cutting import Cutting
from tenfold.inference.handover.fake import FakePartRows
from tenfold.inference.handover.handlers import HandOver
from tenfold.inference.handover.stepping import Means
from tenfold.inference.handover.types import HandOverLimits, Part, Seat
from tenfold.inference.planner import Planner
from tenfold.inference.route import Route, Router, Target
from tenfold.inference.structured import Structured
from tenfold.ledger.prices import Cost, Quote
from tenfold.providers.anthropic import AnthropicWire
from tenfold.providers.batches.fake import FakeAnswer, FakeTier
from tenfold.providers.batches.types import TierLine
from tenfold.providers.http import HttpProvider
from tenfold.providers.openai import OpenAIWire
from tenfold.providers.ports import Wire
from tenfold.providers.transport.fake import FakeTransport
from tests.inference.batches.samples import FakeJob, line_of, spec_of
from tests.support.admission import FreeAdmission
from tests.support.pipeline import MODEL_OUTPUT, REPLIES, Outcomes, principal

LIMITS = HandOverLimits(poll_s=0, look_s=0, drain_s=60, settle_s=0, at_once=3, max_lines=4)
INPUT_NANO, OUTPUT_NANO = 500, 1_000
"""What a token costs at the batch tier, in 10^-9 USD."""

ANSWER_NANO = 12 * INPUT_NANO + 3 * OUTPUT_NANO  # of each answer of tests.support.pipeline


class HalfPrice:
    def quote(self, at: datetime) -> Quote | None:
        return Quote.from_usd_per_million(input="0.5", output=1)


class Ledger:
    """The receipts that admission keeps, and what they were corrected to."""

    def __init__(self, admission: FreeAdmission) -> None:
        self._admission = admission
        self.receipts: Counter[UUID] = Counter()  # of processes before this one
        self.nano: dict[UUID, int] = {}  # corrected receipts
        self.usages: dict[UUID, Usage] = {}
        self.missing = 0  # so many looks find nothing yet

    async def correct_receipt(
        self, tenant_id: TenantId, receipt_id: UUID, receipt_at: datetime, *, source: str, usage: Usage, cost: Cost
    ) -> object:
        self._find(receipt_id)
        if receipt_id in self.nano:
            return None
        self.nano[receipt_id], self.usages[receipt_id] = cost.total_nano, usage
        return usage

    async def void(self, tenant_id: TenantId, receipt_id: UUID, receipt_at: datetime, *, source: str) -> None:
        self._find(receipt_id)
        self.nano.setdefault(receipt_id, 0)

    def another_process(self) -> None:
        """Has a journal of its own."""
        self.receipts += self._admission.journal.receipts
        self._admission.journal.receipts.clear()
        self._admission.journal.drafts.clear()

    def _find(self, receipt_id: UUID) -> None:
        if self.missing:
            self.missing -= 1
            raise NotFound("There is no such receipt.")
        if receipt_id not in self.receipts and receipt_id not in self._admission.journal.receipts:
            raise NotFound("There is no such receipt.")


class Stage:
    """`vendor`: who serves the model `m`, "openai" or "anthropic"."""

    def __init__(self, vendor: str = "openai", *, tiers: Mapping[str, FakeTier] | None = None) -> None:
        self.clock = FakeClock()
        self.tier = FakeTier()
        self.admission = FreeAdmission()
        self.ledger = Ledger(self.admission)
        self.parts = FakePartRows()
        self.rows = FakeBatchRows(self.clock, FakeFileRows(self.clock))
        self.outcomes = Outcomes()
        wires: dict[str, Wire] = {"openai": OpenAIWire(), "anthropic": AnthropicWire()}
        self.provider = HttpProvider(vendor, wires[vendor], FakeTransport([]), "sk", "/models")
        self.target = self._target("m-2026")
        plain = Route(model="m", targets=(self.target,))
        alone = Target(provider=self.provider, upstream_model="no-tier", prices=HalfPrice(), model="no-tier")
        self.router = Router([plain, Route(model="no-tier", targets=(alone,))])
        self.seats = {self.target.label: Seat(target=self._target("m-2026"), tier=self.tier)}
        self.limits = LIMITS
        self.endpoint = Endpoint(operation="chat", dialect=OpenAIDialect)
        self.who = principal()
        self.content = b""
        self.job: FakeJob | None = None
        self.batch: Batch | None = None

    def _target(self, name: str) -> Target:
        return Target(
            provider=self.provider,
            upstream_model=name,
            prices=HalfPrice(),
            model="m",
            max_output_tokens=MODEL_OUTPUT,
        )

    async def begin(self, *lines: bytes, **spec: Any) -> None:
        """A batch of these lines is in progress."""
        self.content = b"".join(lines)
        made = spec_of(self.who, **spec)
        self.job = FakeJob(made)
        await self.rows.add(made)
        self.batch = await self.rows.begin(made.principal.tenant_id, made.id, total=len(lines), model="m")

    async def run(self) -> Why:
        """Anew, as by whoever has the job now."""
        assert self.batch is not None
        assert self.job is not None
        structured = Structured()
        means = Means(
            parts=self.parts,
            rows=self.rows,
            cutting=Cutting(self.router, Planner(), self.seats, structured=structured, limits=self.limits),
            charging=Charging(self.admission.admit, self.ledger, self.limits),
            seats=self.seats,
            clock=self.clock,
            structured=structured,
            limits=self.limits,
        )
        batch = await self.rows.find(self.who.tenant_id, self.batch.id)
        assert batch is not None
        return await HandOver(means).run(self.job, batch, self.endpoint, self._chunks)

    async def _chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.content), 50):
            yield self.content[start : start + 50]

    async def all_handed(self, count: int = 1) -> None:
        """So many batches are at the vendor."""
        async with asyncio.timeout(10):
            while len(self.tier.batches) < count:
                await asyncio.sleep(0)

    async def part(self) -> Part:
        assert self.batch is not None
        (found,) = await self.parts.of(self.who.tenant_id, self.batch.id)
        return found

    async def results(self) -> dict[int, LineResult]:
        assert self.batch is not None
        found = [
            await self.rows.results(self.who.tenant_id, self.batch.id, failed=failed, after=0)
            for failed in (False, True)
        ]
        return {result.line: result for results in found for result in results}

    async def told(self) -> Batch:
        assert self.batch is not None
        found = await self.rows.find(self.who.tenant_id, self.batch.id)
        assert found is not None
        return found

    @property
    def charged(self) -> int:
        """What was charged before the vendor answered, 10^-9 USD."""
        return self.admission.budgets.spent

    def assert_settled(self) -> None:
        self.admission.assert_nothing_held()
        assert not [count for count in Counter(self.admission.journal.drafts).values() if count > 2]


def lines(count: int, **body: Any) -> list[bytes]:
    return [line_of(number, **body) for number in range(1, count + 1)]


def said(result: LineResult) -> Any:
    """The response of a result's line."""
    return json.decode(result.data)["response"]


def answered(vendor: str = "openai") -> FakeAnswer:
    return FakeAnswer(body=REPLIES[vendor])


def all_answered(vendor: str = "openai") -> Any:
    def answer(line: TierLine) -> FakeAnswer:
        return answered(vendor)

    return answer
