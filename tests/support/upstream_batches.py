"""The vendors' batch APIs as scripts of a FakeTransport: what they keep, what they answer, and when a batch ends.

What they answer passes through the vendors' own SDK types, so that it has their shape.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse
from msgspec import json
from openai.types import Batch, FileObject

from tenfold.core.chat import JsonObject
from tenfold.providers.batches.fake import FakeAnswer
from tenfold.providers.batches.types import TierLine
from tenfold.providers.transport.fake import FakeReply, FakeRequest

Answer = Callable[[TierLine], FakeAnswer | None]

_PAGE = 2  # batches of a list, whatever is asked: so there are pages
_DISPOSITION = re.compile(rb'name="([^"]+)"')


class Vendor(Protocol):
    """`loses`: so many replies to the next batches get lost on the way."""

    loses: int

    def __call__(self, request: FakeRequest) -> FakeReply: ...

    def finish(self, batch_id: str, answer: Answer, why: str | None = None) -> None: ...

    def age(self, batch_id: str, by: timedelta) -> None:
        """It was created so much earlier."""
        ...

    def is_cancelling(self, batch_id: str) -> bool: ...


def _json(value: object, status: int = 200) -> FakeReply:
    return FakeReply(status=status, headers=[(b"content-type", b"application/json")], body=json.encode(value))


def _lines(values: list[JsonObject]) -> FakeReply:
    body = b"".join(json.encode(value) + b"\n" for value in values)
    return FakeReply(body=body, cuts=tuple(range(61, len(body), 61)))


def _lost() -> FakeReply:
    return FakeReply(body=b"{}", stop_at=1)


class OpenAIBatchUpstream:
    """Refuses other windows than a day, and batches over files that are not there."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.expiries: dict[str, str] = {}
        self.batches: dict[str, JsonObject] = {}
        self.loses = 0

    def __call__(self, request: FakeRequest) -> FakeReply:
        path, _, query = request.path.partition("?")
        match [request.method, *path.strip("/").split("/")]:
            case ["POST", "files"]:
                return self._upload(request)
            case ["GET", "files", file_id, "content"]:
                body = self.files[file_id]
                return FakeReply(body=body, cuts=tuple(range(61, len(body), 61)))
            case ["POST", "batches"]:
                return self._create(json.decode(request.body))
            case ["GET", "batches"]:
                return self._list(query)
            case ["GET", "batches", batch_id] if batch_id in self.batches:
                return self._told(batch_id)
            case ["POST", "batches", batch_id, "cancel"] if batch_id in self.batches:
                batch = self.batches[batch_id]
                if batch["status"] not in ("validating", "in_progress"):
                    return _json({"error": {"message": "Cannot cancel", "type": "invalid_request_error"}}, 409)
                batch["status"] = "cancelling"
                return self._told(batch_id)
        return _json({"error": {"message": f"No {request.method} {path}"}}, 404)

    def finish(self, batch_id: str, answer: Answer, why: str | None = None) -> None:
        batch = self.batches[batch_id]
        good: list[JsonObject] = []
        bad: list[JsonObject] = []
        for asked in map(json.decode, self.files[batch["input_file_id"]].splitlines()):
            line = TierLine(
                number=int(asked["custom_id"]), path=asked["url"].removeprefix("/v1"), body=json.encode(asked["body"])
            )
            found = answer(line)
            if found is None:
                continue
            told: JsonObject = {"id": f"batch_req_{line.number}", "custom_id": asked["custom_id"], "error": None}
            if found.outcome in ("answered", "refused"):
                body = json.decode(found.body)
                told["response"] = {"status_code": found.status, "request_id": "r", "body": body}
            else:
                told |= {"response": None, "error": {"code": f"batch_{found.outcome}", "message": "too late"}}
            (good if found.outcome == "answered" else bad).append(told)
        for name, results in (("output_file_id", good), ("error_file_id", bad)):
            if results:
                batch[name] = file_id = f"file-{batch_id}-{name}"
                self.files[file_id] = b"".join(json.encode(result) + b"\n" for result in results)
        batch["status"] = "failed" if why else "completed"
        if why:
            batch["errors"] = {"object": "list", "data": [{"code": "token_limit_exceeded", "message": why}]}
        batch["request_counts"] = {"total": len(good) + len(bad), "completed": len(good), "failed": len(bad)}

    def age(self, batch_id: str, by: timedelta) -> None:
        self.batches[batch_id]["created_at"] -= int(by.total_seconds())

    def is_cancelling(self, batch_id: str) -> bool:
        return bool(self.batches[batch_id]["status"] == "cancelling")

    def _upload(self, request: FakeRequest) -> FakeReply:
        content_type = next(value for name, value in request.headers if name == b"content-type")
        boundary = b"--" + content_type.partition(b"boundary=")[2]
        assert request.body.endswith(boundary + b"--\r\n")
        fields: dict[bytes, bytes] = {}
        for part in request.body.split(boundary)[1:-1]:
            head, _, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
            found = _DISPOSITION.search(head)
            assert found is not None
            fields[found.group(1)] = value.removesuffix(b"\r\n")
        assert fields[b"purpose"] == b"batch"
        assert fields[b"expires_after[anchor]"] == b"created_at"
        file_id = f"file-{len(self.files)}"
        self.files[file_id] = fields[b"file"]
        self.expiries[file_id] = fields[b"expires_after[seconds]"].decode()
        told = {"id": file_id, "object": "file", "bytes": 1, "created_at": 1, "filename": "x", "purpose": "batch"}
        return _json(FileObject.model_validate({**told, "status": "processed"}).model_dump())

    def _create(self, asked: JsonObject) -> FakeReply:
        if asked["completion_window"] != "24h" or asked["input_file_id"] not in self.files:
            return _json({"error": {"message": "Bad batch", "type": "invalid_request_error"}}, 400)
        urls = {json.decode(line)["url"] for line in self.files[asked["input_file_id"]].splitlines()}
        assert urls == {asked["endpoint"]}
        assert asked["output_expires_after"]["anchor"] == "created_at"
        batch_id = f"batch_{len(self.batches)}"
        now = int(datetime.now(UTC).timestamp())
        self.batches[batch_id] = {
            "id": batch_id,
            "object": "batch",
            "endpoint": asked["endpoint"],
            "input_file_id": asked["input_file_id"],
            "completion_window": "24h",
            "status": "validating",
            "created_at": now,
            "metadata": asked["metadata"],
        }
        if self.loses:
            self.loses -= 1
            return _lost()
        return self._told(batch_id)

    def _list(self, query: str) -> FakeReply:
        newest = sorted(self.batches.values(), key=lambda batch: (batch["created_at"], batch["id"]), reverse=True)
        after = dict(part.split("=") for part in query.split("&")).get("after")
        start = next((n + 1 for n, batch in enumerate(newest) if batch["id"] == after), 0)
        page = [Batch.model_validate(batch).model_dump() for batch in newest[start : start + _PAGE]]
        return _json({"object": "list", "data": page, "has_more": start + _PAGE < len(newest)})

    def _told(self, batch_id: str) -> FakeReply:
        return _json(Batch.model_validate(self.batches[batch_id]).model_dump())


class AnthropicBatchUpstream:
    def __init__(self) -> None:
        self.batches: dict[str, JsonObject] = {}
        self.asked: dict[str, list[JsonObject]] = {}
        self.told: dict[str, list[JsonObject]] = {}
        self.loses = 0

    def __call__(self, request: FakeRequest) -> FakeReply:
        path, _, query = request.path.partition("?")
        assert path.startswith("/v1/messages/batches")
        match [request.method, *path.strip("/").split("/")[3:]]:
            case ["POST"]:
                return self._create(json.decode(request.body)["requests"])
            case ["GET"]:
                return self._list(query)
            case ["GET", batch_id] if batch_id in self.batches:
                return self._told(batch_id)
            case ["GET", batch_id, "results"] if batch_id in self.told:
                return _lines(self.told[batch_id])
            case ["POST", batch_id, "cancel"] if batch_id in self.batches:
                if self.batches[batch_id]["processing_status"] == "ended":
                    return _json(_error("invalid_request_error", "It has ended"), 400)
                self.batches[batch_id]["processing_status"] = "canceling"
                return self._told(batch_id)
        return _json(_error("not_found_error", f"No {request.method} {path}"), 404)

    def finish(self, batch_id: str, answer: Answer, why: str | None = None) -> None:
        assert why is None, "a batch here never fails as a whole"
        counts = {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
        told = self.told[batch_id] = []
        for asked in self.asked[batch_id]:
            number = int(asked["custom_id"].rpartition("-")[2])
            line = TierLine(number=number, path="/v1/messages", body=json.encode(asked["params"]))
            found = answer(line)
            result: JsonObject
            if found is None or found.outcome in ("expired", "cancelled"):
                result = {"type": "canceled" if found is None or found.outcome == "cancelled" else "expired"}
            elif found.outcome == "answered":
                result = {"type": "succeeded", "message": json.decode(found.body)}
            else:
                result = {"type": "errored", "error": json.decode(found.body)}
            counts[result["type"]] += 1
            if found is not None:
                told.append({"custom_id": asked["custom_id"], "result": result})
        for one in told:
            MessageBatchIndividualResponse.model_validate(one)
        self.batches[batch_id] |= {"processing_status": "ended", "request_counts": counts}

    def age(self, batch_id: str, by: timedelta) -> None:
        self.batches[batch_id]["created_at"] -= by

    def is_cancelling(self, batch_id: str) -> bool:
        return bool(self.batches[batch_id]["processing_status"] == "canceling")

    def _create(self, requests: list[JsonObject]) -> FakeReply:
        assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", asked["custom_id"]) for asked in requests)
        assert len({asked["custom_id"] for asked in requests}) == len(requests)
        batch_id = f"msgbatch_{len(self.batches)}"
        now = datetime.now(UTC)
        self.asked[batch_id] = requests
        self.batches[batch_id] = {
            "id": batch_id,
            "type": "message_batch",
            "processing_status": "in_progress",
            "created_at": now,
            "expires_at": now + timedelta(days=1),
            "request_counts": {
                "processing": len(requests),
                "succeeded": 0,
                "errored": 0,
                "canceled": 0,
                "expired": 0,
            },
        }
        if self.loses:
            self.loses -= 1
            return _lost()
        return self._told(batch_id)

    def _list(self, query: str) -> FakeReply:
        newest = sorted(self.batches.values(), key=lambda batch: (batch["created_at"], batch["id"]), reverse=True)
        after = dict(part.split("=") for part in query.split("&")).get("after_id")
        start = next((n + 1 for n, batch in enumerate(newest) if batch["id"] == after), 0)
        page = [MessageBatch.model_validate(batch).model_dump(mode="json") for batch in newest[start : start + _PAGE]]
        return _json({"data": page, "has_more": start + _PAGE < len(newest)})

    def _told(self, batch_id: str) -> FakeReply:
        return _json(MessageBatch.model_validate(self.batches[batch_id]).model_dump(mode="json"))


def _error(kind: str, message: str) -> JsonObject:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": None}


MESSAGE: Mapping[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 12, "output_tokens": 3},
}
