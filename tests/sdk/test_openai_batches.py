"""The official OpenAI SDK: files and batches, over providers of every kind."""

import io
import json
import time
from typing import Any, Literal

import openai
import pytest
from openai.types import Batch

from tests.sdk.models import CLAUDE, GEMINI, OPENAI
from tests.support.openai_schema import assert_valid

CHAT: Literal["/v1/chat/completions"] = "/v1/chat/completions"
MODELS = [OPENAI, CLAUDE, GEMINI]


def lines(*bodies: dict[str, Any], url: str = CHAT) -> bytes:
    asked = [{"custom_id": f"c-{n}", "method": "POST", "url": url, "body": body} for n, body in enumerate(bodies)]
    return b"".join(json.dumps(line).encode() + b"\n" for line in asked)


def chat(model: str, text: str = "Say hello.", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}]} | more


def create(client: openai.OpenAI, content: bytes, **how: Any) -> Batch:
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    asked: dict[str, Any] = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    return client.batches.create(**asked | how)


def ended(client: openai.OpenAI, batch: Batch) -> Batch:
    """As a client polls: when it is told to."""
    deadline = time.monotonic() + 60
    while batch.status not in ("completed", "failed", "cancelled", "expired"):
        assert time.monotonic() < deadline, batch
        raw = client.batches.with_raw_response.retrieve(batch.id)
        batch = raw.parse()
        if "retry-after" in raw.headers:
            time.sleep(min(int(raw.headers["retry-after"]), 0.1))
    return batch


def output(client: openai.OpenAI, file_id: str | None) -> dict[str, Any]:
    assert file_id is not None
    said = client.files.content(file_id).text
    return {line["custom_id"]: line for line in map(json.loads, said.splitlines())}


def test_files(openai_client: openai.OpenAI) -> None:
    content = b"\x00\xff" * 500_000
    file = openai_client.files.create(
        file=("data.bin", io.BytesIO(content)),
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 7200},
    )
    assert_valid("OpenAIFile", file.model_dump(exclude_none=True))
    assert (file.bytes, file.filename, file.purpose, file.status) == (1_000_000, "data.bin", "user_data", "processed")
    assert file.expires_at is not None
    assert file.expires_at - file.created_at == 7200
    assert openai_client.files.retrieve(file.id) == file
    assert openai_client.files.content(file.id).read() == content
    listed = openai_client.files.list(purpose="user_data", limit=1)
    assert [each.id for each in listed.data] == [file.id]
    assert openai_client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        openai_client.files.retrieve(file.id)


def test_pages_of_files(openai_client: openai.OpenAI) -> None:
    made = {openai_client.files.create(file=(f"{n}.txt", b"x"), purpose="evals").id for n in range(5)}
    found = [file.id for file in openai_client.files.list(purpose="evals", limit=2, order="asc")]
    assert set(found) == made
    assert found == sorted(found)
    for each in made:
        openai_client.files.delete(each)


def test_a_batch_over_every_provider(openai_client: openai.OpenAI) -> None:
    bodies = [chat(model) for model in MODELS for _ in range(4)] + [chat("no-such-model")]
    batch = create(openai_client, lines(*bodies), metadata={"night": "1"})
    assert_valid("Batch", batch.model_dump(exclude_none=True))  # its own examples have null for what is not there yet
    assert (batch.object, batch.endpoint, batch.completion_window) == ("batch", CHAT, "24h")
    done = ended(openai_client, batch)
    assert done.status == "completed"
    assert done.metadata == {"night": "1"}
    assert done.model is None
    assert done.request_counts is not None
    assert done.usage is not None
    counts = done.request_counts
    assert (counts.total, counts.completed, counts.failed) == (13, 12, 1)
    assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens > 0
    good = output(openai_client, done.output_file_id)
    assert list(good) == [f"c-{n}" for n in range(12)]
    for line in good.values():
        assert line["error"] is None
        assert line["response"]["status_code"] == 200
        reply = openai.types.chat.ChatCompletion.model_validate(line["response"]["body"])
        assert reply.choices[0].message.content
    refused = output(openai_client, done.error_file_id)
    assert refused["c-12"]["response"]["status_code"] == 404
    assert refused["c-12"]["response"]["body"]["error"]["code"] == "model_not_found"
    assert openai_client.batches.list(limit=1).data[0].id == batch.id


def test_embeddings_in_a_batch(openai_client: openai.OpenAI) -> None:
    bodies = [{"model": "text-embedding-3-small", "input": f"text {n}"} for n in range(3)]
    batch = create(openai_client, lines(*bodies, url="/v1/embeddings"), endpoint="/v1/embeddings")
    done = ended(openai_client, batch)
    assert (done.status, done.model) == ("completed", "text-embedding-3-small")
    for line in output(openai_client, done.output_file_id).values():
        assert len(line["response"]["body"]["data"][0]["embedding"]) > 10


def test_responses_in_a_batch(openai_client: openai.OpenAI) -> None:
    bodies = [{"model": model, "input": "Say hello."} for model in MODELS]
    bodies.append({"model": OPENAI, "input": "Go on.", "previous_response_id": "resp_1"})
    batch = create(openai_client, lines(*bodies, url="/v1/responses"), endpoint="/v1/responses")
    done = ended(openai_client, batch)
    assert done.status == "completed"
    good = output(openai_client, done.output_file_id)
    assert set(good) == {"c-0", "c-1", "c-2"}
    for line in good.values():
        assert openai.types.responses.Response.model_validate(line["response"]["body"]).output_text
    refused = output(openai_client, done.error_file_id)
    assert refused["c-3"]["response"]["body"]["error"]["param"] == "previous_response_id"


def test_a_file_with_broken_lines(openai_client: openai.OpenAI) -> None:
    content = lines(chat(OPENAI)) + b"{broken\n" + lines(chat(OPENAI)) + lines({"messages": []}).replace(b"c-0", b"c-9")
    done = ended(openai_client, create(openai_client, content))
    assert (done.status, done.output_file_id, done.error_file_id) == ("failed", None, None)
    assert done.failed_at is not None
    assert done.errors is not None
    assert done.errors.data is not None
    assert [(error.line, error.code) for error in done.errors.data] == [
        (2, "invalid_json_line"),
        (3, "duplicate_custom_id"),
        (4, "missing_required_parameter"),
    ]


def test_cancelling_what_runs_and_what_has_ended(openai_client: openai.OpenAI) -> None:
    batch = create(openai_client, lines(*(chat(OPENAI, f"Say {n}.") for n in range(3000))))
    cancelled = openai_client.batches.cancel(batch.id)
    assert cancelled.status in ("cancelling", "cancelled")
    done = ended(openai_client, cancelled)
    assert done.status == "cancelled"
    assert done.cancelling_at is not None
    assert done.cancelled_at is not None
    again = openai_client.batches.cancel(batch.id)
    assert again.status == "cancelled"
    complete = ended(openai_client, create(openai_client, lines(chat(OPENAI))))
    with pytest.raises(openai.ConflictError):
        openai_client.batches.cancel(complete.id)


def test_a_batch_asked_for_twice_is_there_once(openai_client: openai.OpenAI) -> None:
    file = openai_client.files.create(file=("in.jsonl", lines(chat(OPENAI))), purpose="batch")
    key = {"Idempotency-Key": f"batch-{file.id}"}
    made = [
        openai_client.batches.create(
            input_file_id=file.id, endpoint=CHAT, completion_window="24h", extra_headers=key
        ).id
        for _ in range(2)
    ]
    assert made[0] == made[1]
    with pytest.raises(openai.UnprocessableEntityError):
        openai_client.batches.create(
            input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h", extra_headers=key
        )


def test_what_cannot_be_a_batch(openai_client: openai.OpenAI) -> None:
    other = openai_client.files.create(file=("in.jsonl", b"x"), purpose="user_data")
    with pytest.raises(openai.BadRequestError, match="purpose"):
        openai_client.batches.create(input_file_id=other.id, endpoint=CHAT, completion_window="24h")
    with pytest.raises(openai.NotFoundError):
        openai_client.batches.create(input_file_id="file-1", endpoint=CHAT, completion_window="24h")
    good = openai_client.files.create(file=("in.jsonl", lines(chat(OPENAI))), purpose="batch")
    wrong: list[dict[str, Any]] = [
        {"endpoint": "/v1/moderations"},
        {"completion_window": "1m"},
        {"completion_window": "999h"},
        {"metadata": {"k": "v" * 513}},
        {"output_expires_after": {"anchor": "created_at", "seconds": 60}},
        {"extra_body": {"unknown": 1}},
    ]
    for each in wrong:
        asked: dict[str, Any] = {"input_file_id": good.id, "endpoint": CHAT, "completion_window": "24h"} | each
        with pytest.raises(openai.BadRequestError):
            openai_client.batches.create(**asked)
    with pytest.raises(openai.NotFoundError):
        openai_client.batches.retrieve("batch_1")


def test_polling_costs_little(openai_client: openai.OpenAI) -> None:
    done = ended(openai_client, create(openai_client, lines(chat(OPENAI))))
    raw = openai_client.batches.with_raw_response.retrieve(done.id)
    assert "retry-after" not in raw.headers
    assert float(raw.headers["tenfold-cost-usd"]) > 0
    with pytest.raises(openai.APIStatusError) as unchanged:
        openai_client.batches.retrieve(done.id, extra_headers={"If-None-Match": raw.headers["etag"]})
    assert unchanged.value.status_code == 304


async def test_the_async_client(async_openai: openai.AsyncOpenAI) -> None:
    file = await async_openai.files.create(file=("in.jsonl", lines(chat(OPENAI))), purpose="batch")
    assert (await (await async_openai.files.content(file.id)).aread()) == lines(chat(OPENAI))
    batch = await async_openai.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    assert batch.status == "validating"
