"""What a handed-over line costs: its bound at the price of the batch tier, before the vendor hears of it, as an
estimate; and once the vendor has told, what it really used, or nothing. So no budget is overshot while a day passes,
and a line has one receipt.
"""

import asyncio
import logging
from datetime import datetime
from uuid import UUID

from tenfold.core.call import Call, CallOptions
from tenfold.core.errors import InvalidRequest, NotFound, TenfoldError
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.core.usage import Usage
from tenfold.inference.admit import Admit
from tenfold.inference.batches.types import Endpoint
from tenfold.inference.call import Question
from tenfold.inference.handover.ports import Estimates
from tenfold.inference.handover.types import HandOverLimits, Part
from tenfold.inference.route import Target
from tenfold.inference.settle import settle
from tenfold.ledger.prices import Cost

logger = logging.getLogger(__name__)

SOURCE = "batch"
HANDED_OVER = 202  # the HTTP status on the receipt
_LOOKS = 5


class Charging:
    def __init__(self, admit: Admit, estimates: Estimates, limits: HandOverLimits) -> None:
        self._admit = admit
        self._estimates = estimates
        self._limits = limits

    async def charge(self, part: Part, line: int, question: Question, target: Target) -> None:
        """On the receipt that the line of this part has, however often it is charged. Raises what stands against it:
        RateLimited, Overloaded and StoreUnavailable pass; BudgetExceeded, CostCeilingExceeded and PriceUnknown do
        not."""
        call = question.call
        call.id, call.started_at = part.receipt_id(line), part.at.timestamp()
        await self._admit.enter(call)
        try:
            await self._admit.reserve(call, (target,))
        except BaseException as error:
            call.id = uuid7()  # a refusal is no receipt of the line's
            call.error = error if isinstance(error, TenfoldError) else None
            call.http_status = call.error.status if call.error is not None else call.http_status
            settle(call, None)
            self._admit.leave(call)
            raise
        target.mark(call)
        call.unanswered, call.attempts = True, 1
        call.status, call.http_status = "ok", HANDED_OVER
        settle(call, target)
        self._admit.leave(call)

    async def correct(self, part: Part, line: int, usage: Usage, target: Target) -> int:
        """What it costs, 10^-9 USD. Raises StoreUnavailable."""
        quote = target.quote(part.at.timestamp())
        if quote is None:
            return 0
        told = quote.cost(usage)
        cost = Cost(input_nano=told.input_nano, output_nano=told.output_nano, total_nano=told.total_nano)
        pause_s = self._limits.settle_s
        for look in range(_LOOKS):
            try:
                await self._estimates.correct_receipt(
                    part.tenant_id, part.receipt_id(line), part.at, source=SOURCE, usage=usage, cost=cost
                )
                return cost.total_nano
            except NotFound:  # it is on its way into the database
                if look + 1 < _LOOKS:
                    await asyncio.sleep(pause_s)
                    pause_s *= 2
            except InvalidRequest as error:
                logger.warning("a vendor told what a line cannot have used", extra={"why": error.message})
                return cost.total_nano
        logger.error("a handed-over line has no receipt", extra={"receipt": part.receipt_id(line).hex})
        return cost.total_nano

    async def void(self, part: Part, line: int) -> None:
        """Nothing came of it, and nothing is billed. Raises StoreUnavailable."""
        await void(self._estimates, part.tenant_id, part.receipt_id(line), part.at, self._limits.settle_s)


async def void(estimates: Estimates, tenant_id: TenantId, receipt_id: UUID, at: datetime, settle_s: float) -> None:
    """One that was never charged has none, which is as well."""
    try:
        await estimates.void(tenant_id, receipt_id, at, source=SOURCE)
    except NotFound:
        await asyncio.sleep(settle_s)
        try:
            await estimates.void(tenant_id, receipt_id, at, source=SOURCE)
        except NotFound:
            return


def question_of(principal: Principal, endpoint: Endpoint, body: bytes, options: CallOptions) -> Question:
    """The line as a call, its body read. Raises InvalidRequest."""
    dialect = endpoint.dialect()
    call = Call(principal=principal, operation=endpoint.operation, dialect=dialect.name, body=body, options=options)
    peek = call.peek = dialect.peek(endpoint.operation, body)
    call.model = peek.model
    return Question(call, dialect)
