"""A batch that a real Tenfold hands over to a vendor's batch tier, its processes killed while the vendor works."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tenfold.providers.batches.fake import FakeAnswer
from tenfold.providers.transport.fake import FakeRequest
from tests.support.pipeline import REPLIES
from tests.support.tenfold_process import TenfoldProcess
from tests.support.upstream_batches import AnthropicBatchUpstream, OpenAIBatchUpstream, Vendor
from tests.support.upstream_server import eventually

LINES = 3
PATIENCE_S = 60
MODELS = {"openai": "gpt-4o-mini", "anthropic": "claude-haiku-4-5"}
COSTS = {"openai": 0.5 * (12 * 0.15 + 3 * 0.60) / 1e6, "anthropic": 0.5 * (12 * 1 + 3 * 5) / 1e6}
"""USD of a line: 12 tokens in and 3 out, at half the list price."""


@contextmanager
def serving(vendor: Vendor) -> Iterator[str]:
    """The base URL of its host."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_args: Any) -> None: ...

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]
            with lock:
                request = FakeRequest(method=self.command, path=self.path, headers=headers, body=body)
                reply = vendor(request)
            self.send_response(reply.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="batch-vendor")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def configuration(kind: str, url: str) -> str:
    return f"""
[providers.vendor]
kind = "{kind}"
base_url = "{url}"
batch_tier = true

[models."{MODELS[kind]}"]
provider = "vendor"

[batches]
provider_tier = "auto"
"""


def spent(tenfold: TenfoldProcess) -> float:
    """USD of all calls, as the roll-up has it."""
    told = httpx.get(f"{tenfold.url}/api/v1/usage", headers={"authorization": f"Bearer {tenfold.key}"}, timeout=20)
    return sum(float(row["cost_usd"]) for row in told.json()["data"])


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_batch_is_the_vendors_and_paid_once(kind: str, tmp_path: Path) -> None:
    vendor: Any = OpenAIBatchUpstream() if kind == "openai" else AnthropicBatchUpstream()
    with serving(vendor) as url, TenfoldProcess(tmp_path, configuration(kind, url)) as tenfold:
        client = openai.OpenAI(base_url=f"{tenfold.url}/v1", api_key=tenfold.key, timeout=20)
        body = {"model": MODELS[kind], "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 100}
        content = b"".join(
            json.dumps({"custom_id": f"c-{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}).encode()
            + b"\n"
            for n in range(LINES)
        )
        file = client.files.create(file=("in.jsonl", content), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        eventually(lambda: len(vendor.batches) == 1, "the vendor has the batch", PATIENCE_S)
        eventually(lambda: spent(tenfold) > LINES * COSTS[kind], "its bound is charged", PATIENCE_S)
        for pid in tenfold.workers():
            os.kill(pid, signal.SIGKILL)
        vendor.finish(next(iter(vendor.batches)), lambda line: FakeAnswer(body=REPLIES[kind]))
        eventually(tenfold.is_ready, "other processes serve", PATIENCE_S)
        eventually(lambda: client.batches.retrieve(batch.id).status == "completed", "the batch is done", PATIENCE_S)
        done = client.batches.retrieve(batch.id)
        assert done.output_file_id is not None
        assert (done.request_counts.completed, done.error_file_id) == (LINES, None)  # type: ignore[union-attr]
        read = [json.loads(text) for text in client.files.content(done.output_file_id).text.splitlines()]
        assert [one["custom_id"] for one in read] == [f"c-{n}" for n in range(LINES)]
        assert {one["response"]["body"]["choices"][0]["message"]["content"] for one in read} == {"Hello"}
        assert len(vendor.batches) == 1
        assert spent(tenfold) == pytest.approx(LINES * COSTS[kind], abs=1e-12)
        client.close()
