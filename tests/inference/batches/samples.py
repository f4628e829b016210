"""Batches to test with."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from msgspec import json

from tenfold.core.call import CallOptions
from tenfold.core.ids import uuid7
from tenfold.core.principal import Principal
from tenfold.inference.batches.types import KIND, LineResult, Spec, Tokens, batch_name
from tenfold.jobs.types import Job, NewJob, Progress, Work

CHAT = "/v1/chat/completions"


def spec_of(who: Principal, **how: Any) -> Spec:
    asked: dict[str, Any] = {
        "id": uuid7(),
        "job_id": uuid7(),
        "principal": who,
        "input_file_id": uuid7(),
        "input_bytes": 100,
        "endpoint": CHAT,
        "window": "24h",
        "window_s": 86_400.0,
        "output_keep_s": 3600.0,
        "metadata": {"a": "b"},
        "options": CallOptions(feature="nightly", cache=frozenset({"no-store"})),
    }
    return Spec(**asked | how)


def result(line: int, *, failed: bool = False, data: bytes | None = None, cost_nano: int = 7) -> LineResult:
    tokens = Tokens() if failed else Tokens(input=10, cached=4, output=3, reasoning=1)
    return LineResult(
        line=line, failed=failed, data=data or b"line %d\n" % line, tokens=tokens, cost_nano=0 if failed else cost_nano
    )


def line_of(number: int, *, url: str = CHAT, **body: Any) -> bytes:
    asked = {"model": "m", "messages": [{"role": "user", "content": f"Say {number}"}]} | body
    return json.encode({"custom_id": f"c-{number}", "method": "POST", "url": url, "body": asked}) + b"\n"


async def put(files: Any, who: Principal, content: bytes) -> UUID:
    """A whole file of purpose `batch` at rest."""
    made = uuid7()
    await files.begin(who.tenant_id, made, "")
    if content:
        assert await files.append(who.tenant_id, made, 0, [content], most_bytes=None)
    assert await files.finish(who.tenant_id, made, "in.jsonl", "batch", keep_s=None)
    return made


class FakeJob:
    """A JobContext that keeps what it is told. `cost_nano` is what was spent."""

    def __init__(self, spec: Spec, *, kind: str = KIND, data: bytes | None = None) -> None:
        self.cancelled = False
        self.cost_nano = 0
        self.told: list[tuple[str, int, int | None]] = []
        now = datetime(2026, 1, 1, tzinfo=UTC)
        new = NewJob(kind=kind, principal=spec.principal, id=spec.job_id, subject=batch_name(spec.id))
        job = Job(
            tenant_id=spec.principal.tenant_id,
            id=new.id,
            kind=kind,
            state="running",
            subject=new.subject,
            priority=4,
            created_at=now,
            run_at=now,
            started_at=now,
            ended_at=None,
            expires_at=None,
            attempts=1,
            max_attempts=5,
            crashes=0,
            progress=Progress(),
            cost_nano=0,
            cancel_requested=False,
            version=1,
        )
        asked = json.encode(spec) if data is None else data
        self.work = Work(job=job, principal=spec.principal, input=asked, fence=1, new=new)

    def key(self, step: str) -> str:
        return f"{self.work.job.id.hex}:{step}"

    async def progress(self, stage: str = "", done: int = 0, total: int | None = None) -> None:
        self.told.append((stage, done, total))

    async def emit(self, data: bytes) -> None:
        raise AssertionError("a batch emits nothing")

    def spent(self, cost_nano: int) -> None:
        self.cost_nano += cost_nano

    async def flush(self) -> None: ...
