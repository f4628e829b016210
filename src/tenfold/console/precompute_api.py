"""The JSON API of questions that are answered ahead of time: what a run came to, and what visitors may be shown."""

import hashlib
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Header
from pydantic import BaseModel, Field
from starlette.responses import Response

from tenfold.assistant.precompute.handlers import Precompute
from tenfold.assistant.precompute.types import Ahead, Frequent, Run
from tenfold.console.api import Source
from tenfold.console.api_parts import CONFLICT, MISSING, PROBLEMS, PageSize, bearer
from tenfold.console.services import ConsoleServices
from tenfold.core.headers import still_holds
from tenfold.core.money import format_usd
from tenfold.core.principal import Principal
from tenfold.jobs.names import job_name

# A key is in the request: caches keep the answers of each apart (RFC 9111, section 3.5).
_PUBLIC = {"cache-control": "public, max-age=60", "vary": "Authorization"}


class RunBody(BaseModel):
    id: str = Field(description="Of its job.")
    budget_usd: str
    questions: int = Field(description="Asked so far.")
    answered: int = Field(description="Of those, how many have an answer that is kept.")
    cost_usd: str
    started_at: datetime
    ended_at: datetime | None
    ended_why: Literal["", "done", "budget", "no_model"] = Field(
        description="budget: what is left is too little for one more question; no_model: three in a row had no answer."
    )


class RunsPage(BaseModel):
    data: list[RunBody]
    next_cursor: str | None


class PrecomputeBody(BaseModel):
    enabled: bool
    public: bool
    at: str
    zone: str
    budget_usd: str = Field(description="Of a run.")
    min_askers: int = Field(description="So many people must have asked a question before its words are kept.")
    most_questions: int = Field(description="Of a run.")
    questions: int = Field(description="Whose words are kept.")
    answered: int = Field(description="Of those, how many were answered ahead of time.")
    hits: int = Field(description="How often those were asked since, in the same words, and answered from a cache.")
    paid_usd: str = Field(description="For their answers ahead of time.")
    saved_usd: str = Field(description="What a model would have been paid for the hits.")
    hits_per_usd: float | None = Field(description="null: nothing was paid.")
    last_run: RunBody | None


class FrequentBody(BaseModel):
    question: str
    asks: int = Field(description="In the last 14 days.")
    rising: int = Field(description="In the last 2 days.")
    answered_at: datetime | None = Field(description="Ahead of time, the last time.")
    hits: int
    paid_usd: str
    saved_usd: str


class FrequentPage(BaseModel):
    data: list[FrequentBody]
    next_cursor: str | None


class StartedBody(BaseModel):
    job: str


class PopularAnswer(BaseModel):
    question: str
    text: str
    citations: list[Source]
    answered_at: datetime


class PopularBody(BaseModel):
    data: list[PopularAnswer]


def precompute_api_routes(services: ConsoleServices, precompute: Precompute) -> APIRouter:
    routes = APIRouter(responses=PROBLEMS, tags=["precompute"])
    caller = Annotated[Principal, Depends(bearer(services))]

    @routes.get("/api/v1/precompute", summary="What answers ahead of time cost and have earned")
    async def status(who: caller) -> PrecomputeBody:
        earned, last, policy = await precompute.earned(who), await precompute.last(who), precompute.policy
        return PrecomputeBody(
            enabled=policy.enabled,
            public=policy.public,
            at=policy.at,
            zone=policy.zone,
            budget_usd=format_usd(policy.budget_nano),
            min_askers=policy.min_askers,
            most_questions=policy.most_questions,
            questions=earned.questions,
            answered=earned.answered,
            hits=earned.hits,
            paid_usd=format_usd(earned.paid_nano),
            saved_usd=format_usd(earned.saved_nano),
            hits_per_usd=earned.hits_per_usd,
            last_run=None if last is None else _run(last),
        )

    @routes.get("/api/v1/precompute/runs", summary="List the runs, the latest first")
    async def list_runs(who: caller, cursor: str | None = None, limit: PageSize = 20) -> RunsPage:
        page = await precompute.runs(who, cursor=cursor, limit=limit)
        return RunsPage(data=[_run(each) for each in page.items], next_cursor=page.cursor)

    @routes.get("/api/v1/precompute/questions", summary="List the frequent questions, those asked most first")
    async def list_questions(who: caller, cursor: str | None = None, limit: PageSize = 20) -> FrequentPage:
        page = await precompute.questions(who, cursor=cursor, limit=limit)
        return FrequentPage(data=[_frequent(each) for each in page.items], next_cursor=page.cursor)

    @routes.post("/api/v1/precompute/run", status_code=202, summary="Begin a run now", responses=CONFLICT)
    async def run(who: caller, response: Response) -> StartedBody:
        name = job_name((await precompute.run(who)).id)
        response.headers["location"] = f"/api/v1/jobs/{name}"
        return StartedBody(job=name)

    @routes.get("/api/v1/support/popular", summary="Frequent questions with their answers", responses=MISSING)
    async def popular(
        who: caller,
        limit: PageSize = 20,
        if_none_match: Annotated[str | None, Header(description="An ETag.")] = None,
    ) -> PopularBody:
        """Where the operator has made them public. With `ETag`; 304 for an `If-None-Match` that still holds."""
        told = PopularBody(data=[_answer(each) for each in await precompute.popular(who, limit=limit)])
        body = told.model_dump_json().encode()
        headers = {"etag": f'"{hashlib.sha256(body).hexdigest()[:32]}"', **_PUBLIC}
        if still_holds(if_none_match, headers["etag"]):
            return Response(status_code=304, headers=headers)  # type: ignore[return-value]
        return Response(body, headers=headers, media_type="application/json")  # type: ignore[return-value]

    return routes


def _run(run: Run) -> RunBody:
    return RunBody(
        id=job_name(run.id),
        budget_usd=format_usd(run.budget_nano),
        questions=run.questions,
        answered=run.answered,
        cost_usd=format_usd(run.cost_nano),
        started_at=run.started_at,
        ended_at=run.ended_at,
        ended_why=run.ended_why,
    )


def _frequent(question: Frequent) -> FrequentBody:
    return FrequentBody(
        question=question.text,
        asks=question.asks,
        rising=question.rising,
        answered_at=question.answered_at,
        hits=question.hits,
        paid_usd=format_usd(question.paid_nano),
        saved_usd=format_usd(question.saved_nano),
    )


def _answer(ahead: Ahead) -> PopularAnswer:
    return PopularAnswer(
        question=ahead.question,
        text=ahead.text,
        citations=[Source(**msgspec.structs.asdict(each)) for each in ahead.citations],
        answered_at=ahead.answered_at,
    )
