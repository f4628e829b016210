"""A run: the frequent questions of a tenant are asked one after the other, as anybody would ask them, so that whoever
asks next is answered from a cache. What is cached and current costs nothing.

However often its job is begun it goes on where it was: a question that is done is not asked again, one that was paid
for is not paid again, and all that it has paid counts against its one budget.
"""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final

from msgspec import json, structs

from tenfold.assistant.ports import ChatCaller
from tenfold.assistant.precompute.ports import QuestionRows
from tenfold.assistant.precompute.types import FEATURE, KIND, Ahead, EndedWhy, Frequent, Policy
from tenfold.assistant.tickets.ports import Answerer
from tenfold.assistant.types import Answer, AnswerEnd, CallSummary, FromCache
from tenfold.core.call import CallOptions
from tenfold.core.chat import ChatEvent, ChatRequest
from tenfold.core.errors import BudgetExceeded, CostCeilingExceeded, StoreUnavailable
from tenfold.core.principal import Principal
from tenfold.jobs.names import job_name
from tenfold.jobs.ports import JobContext
from tenfold.jobs.types import Result, Work

logger = logging.getLogger(__name__)

_PATIENCE: Final = 3  # questions in a row that no model answers, before the run gives up


class Run:
    """Implements `jobs.ports.Handler`. `answerer` has no listener; `caller_of` is the way to a model that a job has,
    and tells the job what each call costs."""

    kind = KIND
    after_death: str | None = None

    def __init__(
        self, rows: QuestionRows, answerer: Answerer, caller_of: Callable[[JobContext], ChatCaller], policy: Policy
    ) -> None:
        self._rows = rows
        self._answerer = answerer
        self._caller_of = caller_of
        self._policy = policy

    async def run(self, job: JobContext) -> Result:
        """Raises StoreUnavailable, RateLimited: it goes on later."""
        tenant_id, run_id = job.work.principal.tenant_id, job.work.job.id
        run = await self._rows.begin(tenant_id, run_id, budget_nano=self._policy.budget_nano)
        if run.ended_at is None:
            most = self._policy.most_questions
            questions = await self._rows.frequent(tenant_id, limit=most)
            left = [one for one in questions if one.digest not in run.done][: max(0, most - run.questions)]
            purse = Purse(job, self._rows, run.budget_nano - run.cost_nano)
            why = await self._ask_all(purse, left, done=run.questions)
            await self._rows.end(tenant_id, run_id, why)
            run = await self._rows.begin(tenant_id, run_id, budget_nano=run.budget_nano)
            logger.info(
                "answers ahead of time: questions=%d answered=%d cost_nano=%d ended=%s",
                run.questions,
                run.answered,
                run.cost_nano,
                run.ended_why,
            )
        told = {"questions": run.questions, "answered": run.answered, "ended_why": run.ended_why}
        return Result(output=json.encode(told))

    async def _ask_all(self, purse: "Purse", questions: list[Frequent], *, done: int) -> EndedWhy:
        degraded = 0
        for number, question in enumerate(questions, done):
            if purse.is_empty:
                return "budget"
            await purse.progress("asking", number, done + len(questions))
            purse.digest = question.digest
            answer = await self._answer(purse, question.text)
            await purse.settle()
            is_degraded = answer.end.outcome == "degraded"
            if purse.refused and is_degraded:
                return "budget"  # nobody was asked: the next run may
            await self._keep(purse, question, answer)
            if purse.refused:
                return "budget"
            degraded = degraded + 1 if is_degraded else 0
            if degraded == _PATIENCE:
                return "no_model"
        return "done"

    async def _answer(self, purse: "Purse", question: str) -> Answer:
        pieces: list[str] = []
        work = purse.work
        events = self._answerer.ask(
            work.principal, question, task=job_name(work.job.id), caller=Frugal(self._caller_of(purse), purse)
        )
        async with aclosing(events):
            async for event in events:
                if isinstance(event, AnswerEnd):
                    return Answer(text="".join(pieces), end=event)
                pieces.append(event.text)
        raise AssertionError("an answer ends with AnswerEnd")

    async def _keep(self, purse: "Purse", question: Frequent, answer: Answer) -> None:
        end, work = answer.end, purse.work
        ahead = None
        if end.outcome == "answered":
            ahead = Ahead(
                question=question.text, text=answer.text, citations=end.citations, answered_at=datetime.now(UTC)
            )
        await self._rows.answered(
            work.principal.tenant_id,
            work.job.id,
            question.digest,
            call_nano=end.cost_nano or 0,
            ahead=ahead,
            documents=end.documents,
            degraded=end.outcome == "degraded",
        )


class Purse:
    """What is left of a run's budget. Implements `jobs.ports.JobContext` for the calls of its job, which tell it what
    they cost; `digest` is of the question they are for."""

    def __init__(self, job: JobContext, rows: QuestionRows, left_nano: int) -> None:
        self.digest = b""
        self.left_nano = left_nano
        self.refused = False  # a call would have cost more than is left, or than the tenant has
        self._job = job
        self._rows = rows
        self._untold_nano = 0

    @property
    def is_empty(self) -> bool:
        return self.left_nano <= 0

    @property
    def work(self) -> Work:
        return self._job.work

    @property
    def cancelled(self) -> bool:
        return self._job.cancelled

    def key(self, step: str) -> str:
        return self._job.key(step)

    async def progress(self, stage: str = "", done: int = 0, total: int | None = None) -> None:
        await self._job.progress(stage, done, total)

    async def emit(self, data: bytes) -> None:
        await self._job.emit(data)

    def spent(self, cost_nano: int) -> None:
        self.left_nano -= cost_nano
        self._untold_nano += cost_nano
        self._job.spent(cost_nano)

    async def flush(self) -> None:
        await self._job.flush()

    async def settle(self) -> None:
        """What was paid is in the row of the run: a worker that dies from here on has told it. Raises
        StoreUnavailable."""
        if self._untold_nano:
            work = self.work
            await self._rows.paid(work.principal.tenant_id, work.job.id, self.digest, self._untold_nano)
            self._untold_nano = 0


class Frugal:
    """See `assistant.ports.ChatCaller`: a call may cost what is left, and is written down as soon as it is paid."""

    def __init__(self, caller: ChatCaller, purse: Purse) -> None:
        self._caller = caller
        self._purse = purse

    async def call(
        self, principal: Principal, request: ChatRequest, options: CallOptions
    ) -> AsyncGenerator[ChatEvent | FromCache | CallSummary, None]:
        purse = self._purse
        of_run = structs.replace(options, feature=FEATURE, max_cost_nano=max(0, purse.left_nano))
        try:
            async with aclosing(self._caller.call(principal, request, of_run)) as events:
                async for event in events:
                    yield event
        except (BudgetExceeded, CostCeilingExceeded) as error:
            # A ceiling of the model's own is no matter of the budget: the next question may be shorter.
            purse.refused = isinstance(error, BudgetExceeded) or error.param == "Tenfold-Max-Cost-Usd"
            raise
        finally:
            try:
                await purse.settle()
            except StoreUnavailable as error:  # once more after the question
                logger.info("a run has not told what it paid, the database is away: %s", error.message)
