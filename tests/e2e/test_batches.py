"""Batches in a real Tenfold whose processes are killed: every line has one result, and what was answered is not asked
for again.
"""

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.support.tenfold_process import TenfoldProcess, configuration
from tests.support.upstream_server import UpstreamServer, eventually

LINES, FREE = 60, 30
PATIENCE_S = 60


@pytest.fixture
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[UpstreamServer, TenfoldProcess]]:
    with UpstreamServer() as upstream:
        folder = tmp_path_factory.mktemp("batches")
        with TenfoldProcess(folder, configuration(upstream), workers=2) as tenfold:
            yield upstream, tenfold


def line(number: int) -> bytes:
    hold = "" if number <= FREE else "[[hold gate]] "
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"{hold}Say line-{number}."}]}
    asked: dict[str, Any] = {"custom_id": f"c-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(asked).encode() + b"\n"


def test_a_batch_goes_on_when_its_worker_is_killed(pair: tuple[UpstreamServer, TenfoldProcess]) -> None:
    upstream, tenfold = pair
    with openai.OpenAI(base_url=f"{tenfold.url}/v1", api_key=tenfold.key, timeout=20) as client:
        content = b"".join(line(number) for number in range(1, LINES + 1))
        file = client.files.create(file=("in.jsonl", content), purpose="batch")
        with upstream.recording() as asked:
            batch = client.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
            )

            def count() -> int:
                counts = client.batches.retrieve(batch.id).request_counts
                return 0 if counts is None else counts.completed

            eventually(lambda: count() == FREE, "the free lines are done", PATIENCE_S)
            upstream.wait_for(f"line-{FREE + 1}.")
            for pid in tenfold.workers():
                os.kill(pid, signal.SIGKILL)
            eventually(tenfold.is_ready, "other processes serve", PATIENCE_S)
            with pytest.raises(openai.ConflictError):
                client.files.delete(file.id)
            upstream.release("gate")
            eventually(lambda: client.batches.retrieve(batch.id).status == "completed", "the batch is done", PATIENCE_S)
        done = client.batches.retrieve(batch.id)
        assert done.request_counts is not None
        assert done.output_file_id is not None
        assert (done.request_counts.completed, done.request_counts.failed, done.error_file_id) == (LINES, 0, None)
        read = [json.loads(text)["custom_id"] for text in client.files.content(done.output_file_id).text.splitlines()]
        assert read == [f"c-{number}" for number in range(1, LINES + 1)]
        times = Counter(number for each in asked for number in range(1, LINES + 1) if each.says(f"line-{number}."))
        assert all(times[number] == 1 for number in range(1, FREE + 1))
        assert all(times[number] in (1, 2) for number in range(FREE + 1, LINES + 1))
        assert client.files.delete(file.id).deleted
