"""Webhooks end to end: a background response of OpenAI's SDK ends, and its `webhooks.unwrap` verifies what arrives."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

import httpx
import openai
import pytest
from openai.types.webhooks import BatchCompletedWebhookEvent, ResponseCompletedWebhookEvent

from tests.support.tenfold_process import TenfoldProcess, configuration
from tests.support.upstream_server import UpstreamServer, eventually

ALLOW = '[egress]\nallow = ["127.0.0.1/32"]\n'
_PATIENCE_S = 60


@dataclass(frozen=True, kw_only=True)
class Arrived:
    headers: dict[str, str]
    body: bytes


class Receiver:
    """Answers 204 to every POST, unless `statuses` has others for the next ones."""

    def __init__(self) -> None:
        self.arrived: Queue[Arrived] = Queue()
        self.statuses: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.arrived.put(Arrived(headers=dict(self.headers), body=body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (its name there)
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/in"

    def __enter__(self) -> "Receiver":
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def next(self) -> Arrived:
        return self.arrived.get(timeout=_PATIENCE_S)


@pytest.fixture(scope="module")
def tenfold(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TenfoldProcess]:
    with (
        UpstreamServer() as upstream,
        TenfoldProcess(tmp_path_factory.mktemp("webhooks"), configuration(upstream, ALLOW)) as running,
    ):
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def api(tenfold: TenfoldProcess) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {tenfold.key}"}
    with httpx.Client(base_url=f"{tenfold.url}/api/v1", headers=headers, timeout=20) as client:
        yield client


@pytest.fixture
def client(tenfold: TenfoldProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{tenfold.url}/v1", api_key=tenfold.key, max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture
def endpoint(api: httpx.Client, receiver: Receiver) -> Iterator[dict[str, Any]]:
    response = api.post("/webhooks", json={"url": receiver.url, "events": ["response.*", "batch.completed"]})
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    yield made
    api.delete(f"/webhooks/{made['id']}")


def test_a_background_response_tells_that_it_has_ended(
    client: openai.OpenAI, api: httpx.Client, receiver: Receiver, endpoint: dict[str, Any]
) -> None:
    made = client.responses.create(model="gpt-4o-mini", input="Say hello", background=True)
    arrived = receiver.next()
    event = client.webhooks.unwrap(arrived.body, arrived.headers, secret=endpoint["secret"])
    assert isinstance(event, ResponseCompletedWebhookEvent)
    assert event.data.id == made.id
    assert client.responses.retrieve(event.data.id).status == "completed"
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(arrived.body + b" ", arrived.headers, secret=endpoint["secret"])

    def delivered() -> bool:
        page = api.get(f"/webhooks/{endpoint['id']}/deliveries", params={"state": "delivered"}).json()
        return [(each["event"], each["resource"], each["last"]["status"]) for each in page["data"]] == [
            (event.id, made.id, 204)
        ]

    eventually(delivered, "the log tells of it", _PATIENCE_S)


def test_a_batch_tells_that_it_has_ended(client: openai.OpenAI, receiver: Receiver, endpoint: dict[str, Any]) -> None:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
    line = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    file = client.files.create(file=("lines.jsonl", json.dumps(line).encode()), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    arrived = receiver.next()
    event = client.webhooks.unwrap(arrived.body, arrived.headers, secret=endpoint["secret"])
    assert isinstance(event, BatchCompletedWebhookEvent)
    assert event.data.id == batch.id
    assert client.batches.retrieve(batch.id).status == "completed"


def test_an_event_that_was_refused_comes_again_with_its_id(
    client: openai.OpenAI, receiver: Receiver, endpoint: dict[str, Any]
) -> None:
    receiver.statuses = [503]
    client.responses.create(model="gpt-4o-mini", input="Say hello again", background=True)
    first, second = receiver.next(), receiver.next()
    events = [client.webhooks.unwrap(each.body, each.headers, secret=endpoint["secret"]) for each in (first, second)]
    assert events[0].id == events[1].id == second.headers["webhook-id"]
    assert first.body == second.body


def test_both_secrets_verify_while_one_takes_the_others_place(
    client: openai.OpenAI, api: httpx.Client, receiver: Receiver, endpoint: dict[str, Any]
) -> None:
    rotated = api.post(f"/webhooks/{endpoint['id']}/rotate", json={}).json()
    assert api.post(f"/webhooks/{endpoint['id']}/test").status_code == 202
    arrived = receiver.next()
    for secret in (endpoint["secret"], rotated["secret"]):
        event = client.webhooks.unwrap(arrived.body, arrived.headers, secret=secret)
        assert str(event.type) == "webhook.test"


def test_urls_of_the_inside_are_refused(api: httpx.Client) -> None:
    for url in ("https://10.0.0.1/", "https://[::ffff:169.254.169.254]/", "https://2130706433/", "http://10.0.0.1/"):
        response = api.post("/webhooks", json={"url": url})
        assert (response.status_code, response.json()["param"]) == (400, "url")
