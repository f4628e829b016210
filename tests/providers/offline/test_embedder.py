"""The embedding process: it may be killed at any time, and the serving process carries none of its weight."""

import asyncio
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tenfold.core.errors import UpstreamTimeout, UpstreamUnavailable
from tenfold.providers.offline.embedder import OfflineEmbedder
from tenfold.providers.offline.encoder import Encoder
from tenfold.providers.offline.granite import PASSAGE_TOKENS
from tests.support.naughty import naughty_strings

LONG = "A sentence that keeps the model busy for a while. " * 60


async def test_vectors_are_those_of_the_model(embedder: OfflineEmbedder, encoder: Encoder) -> None:
    texts = [f"text number {number}" for number in range(20)]
    vectors, tokens = await embedder.embed_counted(texts)
    expected = [encoder.encode(text) for text in texts]
    assert vectors == [vector.tolist() for vector, _ in expected]
    assert tokens == sum(count for _, count in expected)


async def test_no_child_runs_before_the_first_text(embedder: OfflineEmbedder) -> None:
    assert embedder.child_pid is None
    assert await embedder.embed([]) == []
    assert embedder.child_pid is None


async def test_a_child_killed_in_the_middle_of_a_job_is_replaced(embedder: OfflineEmbedder) -> None:
    [before] = await embedder.embed(["hello"])
    first = embedder.child_pid
    assert first is not None
    job = asyncio.create_task(embedder.embed([LONG] * 9 + ["hello"]))
    await asyncio.sleep(0)
    os.kill(first, signal.SIGKILL)
    vectors = await job
    assert len(vectors) == 10
    assert vectors[-1] == before
    assert embedder.child_pid not in (None, first)


async def test_a_child_killed_between_jobs_is_replaced(embedder: OfflineEmbedder) -> None:
    await embedder.embed(["hello"])
    assert embedder.child_pid is not None
    os.kill(embedder.child_pid, signal.SIGKILL)
    [vector] = await embedder.embed(["hello again"])
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-5)


async def test_a_child_that_always_dies_is_a_typed_error(embedder: OfflineEmbedder) -> None:
    job = asyncio.create_task(embedder.embed(["hello"]))
    killed: set[int] = set()
    while not job.done():
        pid = embedder.child_pid
        if pid is not None and pid not in killed:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        await asyncio.sleep(0)
    with pytest.raises(UpstreamUnavailable) as raised:
        await job
    assert raised.value.retryable
    assert len(killed) == 2
    assert len(await embedder.embed(["and then it works"])) == 1


async def test_a_caller_that_gives_up_disturbs_nobody(embedder: OfflineEmbedder) -> None:
    [expected] = await embedder.embed(["hello"])
    abandoned = asyncio.create_task(embedder.embed([LONG] * 8))
    patient = asyncio.create_task(embedder.embed(["hello"]))
    await asyncio.sleep(0)
    abandoned.cancel()
    assert await patient == [expected]
    with pytest.raises(asyncio.CancelledError):
        await abandoned


async def test_a_question_goes_ahead_of_documents_that_wait(embedder: OfflineEmbedder) -> None:
    done: list[str] = []

    async def embed(name: str, texts: list[str]) -> None:
        await embedder.embed(texts)
        done.append(name)

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(embed(f"document {number}", ["one", "two"]))
        await asyncio.sleep(0)
        group.create_task(embed("question", ["What is it?"]))
    assert done.index("question") <= 1  # behind the one that is under way
    assert [name for name in done if name != "question"] == [f"document {number}" for number in range(5)]


async def test_a_child_that_hangs_is_ended(tmp_path: Path) -> None:
    weights = tmp_path / "fifo"
    os.mkfifo(weights)  # reading it waits for ever
    embedder = OfflineEmbedder(weights=weights, timeout_s=0.2)
    with pytest.raises(UpstreamTimeout):
        await embedder.embed(["hello"])
    assert embedder.child_pid is None
    await embedder.aclose()


async def test_closing_fails_what_waits_and_ends_the_child(embedder: OfflineEmbedder) -> None:
    await embedder.embed(["hello"])
    pid = embedder.child_pid
    assert pid is not None
    jobs = [asyncio.create_task(embedder.embed([LONG] * 8)) for _ in range(3)]
    await asyncio.sleep(0)
    await embedder.aclose()
    for job in jobs:
        with pytest.raises(UpstreamUnavailable, match="closed"):
            await job
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(UpstreamUnavailable, match="closed"):
        await embedder.embed(["hello"])
    await embedder.aclose()


async def test_any_text_has_a_vector(embedder: OfflineEmbedder) -> None:
    """A lone surrogate is among them: it can come out of a JSON escape and has no UTF-8 form."""
    for vector in await embedder.embed(naughty_strings()):
        assert math.hypot(*vector) == pytest.approx(1, abs=1e-5)


def test_the_serving_process_loads_neither_numpy_nor_onnxruntime() -> None:
    program = (
        "import sys, tenfold.providers.offline.embedder, tenfold.providers.offline.provider\n"
        "print([name for name in ('numpy', 'onnxruntime', 'tokenizers') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_child_ends_with_its_input() -> None:
    worker = [sys.executable, "-m", "tenfold.providers.offline.embed_worker"]
    run = subprocess.run(worker, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60)
    assert b"ready" in run.stdout


async def test_of_passages_the_first_tokens_are_read(embedder: OfflineEmbedder, encoder: Encoder) -> None:
    texts = [f"{number}. {LONG}" for number in range(3)]
    assert await embedder.embed_passages(texts) == [
        encoder.encode(text, most_tokens=PASSAGE_TOKENS)[0].tolist() for text in texts
    ]
