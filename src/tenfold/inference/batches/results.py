"""The lines of output and error files, as OpenAI documents them. Pure."""

from typing import Any

from msgspec import DecodeError, Raw, Struct, ValidationError, json

from tenfold.core.ids import uuid7
from tenfold.inference.batches.ports import LineReply
from tenfold.inference.batches.types import LineResult, Tokens

_LAPSED = {
    "code": "batch_expired",
    "message": "This request could not be executed before the completion window expired.",
}


class _Details(Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(Struct):
    """Of chat and embeddings, or of responses."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Reply(Struct):
    usage: _Usage | None = None


_REPLY = json.Decoder(_Reply)


def result_of(line: int, custom_id: str, reply: LineReply) -> LineResult:
    """`reply` in one line, in the output file if it is a good one."""
    failed = reply.error is not None or not 200 <= reply.status < 300
    response = {"status_code": reply.status, "request_id": reply.request_id, "body": _in_one_line(reply.body)}
    return LineResult(
        line=line,
        failed=failed,
        data=_line(custom_id, response, None),
        tokens=Tokens() if failed else tokens_of(reply.body),
        cost_nano=reply.cost_nano,
    )


def lapsed(line: int, custom_id: str) -> LineResult:
    """Of a line that was not done in the window."""
    return LineResult(line=line, failed=True, data=_line(custom_id, None, _LAPSED))


def tokens_of(body: bytes) -> Tokens:
    """What the reply says it used: it is there whether the call was made now, or before a crash."""
    try:
        usage = _REPLY.decode(body).usage
    except (DecodeError, ValidationError):
        return Tokens()
    if usage is None:
        return Tokens()
    read = usage.prompt_tokens_details or usage.input_tokens_details or _Details()
    written = usage.completion_tokens_details or usage.output_tokens_details or _Details()
    return Tokens(
        input=usage.prompt_tokens or usage.input_tokens or 0,
        cached=read.cached_tokens or 0,
        output=usage.completion_tokens or usage.output_tokens or 0,
        reasoning=written.reasoning_tokens or 0,
    )


def _line(custom_id: str, response: Any, error: Any) -> bytes:
    told = {"id": f"batch_req_{uuid7().hex}", "custom_id": custom_id, "response": response, "error": error}
    return json.encode(told) + b"\n"


def _in_one_line(body: bytes) -> Any:
    """A provider may write its JSON over several lines."""
    try:
        return Raw(json.format(body, indent=-1))
    except DecodeError:
        return body.decode("utf-8", "replace")
