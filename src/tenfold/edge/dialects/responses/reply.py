"""Canonical replies as Response objects, and the words that whole replies and streams share."""

import hashlib
from collections.abc import Iterable, Iterator

from msgspec import json

from tenfold.core.chat import (
    ChatReply,
    ChatRequest,
    FinishReason,
    ImagePart,
    JsonObject,
    OpaquePart,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from tenfold.core.ids import uuid7
from tenfold.core.usage import Usage
from tenfold.edge.dialects.openai.reply import annotations as url_citations
from tenfold.edge.dialects.openai.reply import signed
from tenfold.edge.dialects.responses.echo import Echo, Status, blank, tier
from tenfold.edge.dialects.responses.items import seal
from tenfold.edge.dialects.responses.request import asked
from tenfold.providers.openai.content import DIALECT as OPENAI
from tenfold.providers.openai.content import split_data_url

_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "image_generation_call": "ig",
}
_CUT: dict[FinishReason, str] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
    "refusal": "content_filter",
}


def encode_reply(reply: ChatReply, request: ChatRequest, now_s: int) -> bytes:
    """A Response object; `now_s` stands in where the upstream did not say when it was created."""
    value = asked(request)
    echo = echo_of(reply.id, reply.created_s or now_s, value)
    choice = reply.choices[0] if reply.choices else None
    parts = choice.parts if choice is not None else []
    refused = any(isinstance(part, RefusalPart) for part in parts)
    status, details = outcome(choice.finish_reason if choice is not None else None, refused=refused)
    logprobs = (choice.logprobs or {}).get("content") if choice is not None else None
    output = items_of(parts, echo.hex, summarised=wants_summary(value), logprobs=logprobs, complete=details is None)
    body = blank(echo, status, output=output) | {
        "incomplete_details": details,
        "model": reply.model or request.model,
        "service_tier": tier(reply.service_tier, value),
    }
    return json.encode(body | finished(status, now_s, reply.usage))


def echo_of(reply_id: str, created_s: int, request: JsonObject) -> Echo:
    """Until it is stamped a response has an id made of the upstream's: the same answer, the same id."""
    seed = hashlib.blake2b(reply_id.encode(), digest_size=16).hexdigest() if reply_id else uuid7().hex
    return Echo(id=f"resp_{seed}", created_at=created_s, store=request.get("store") is not False, request=request)


def wants_summary(request: JsonObject) -> bool:
    """Who asks for a summary of the thoughts gets them in its place; who does not, as the thoughts they are."""
    reasoning = request.get("reasoning") or {}
    return bool(reasoning.get("summary") or reasoning.get("generate_summary"))


def outcome(reason: FinishReason | None, *, refused: bool) -> tuple[Status, JsonObject | None]:
    """The status, and `incomplete_details`. A refusal that was put into words is an answer."""
    if reason in _CUT and not (refused and reason != "length"):
        return "incomplete", {"reason": _CUT[reason]}
    return "completed", None


def finished(status: Status, now_s: int, usage: Usage | None) -> JsonObject:
    """The members that only a response has which is over."""
    told: JsonObject = {"completed_at": now_s if status == "completed" else None}
    return told if usage is None else told | {"usage": usage_object(usage)}


def usage_object(usage: Usage) -> JsonObject:
    """ResponseUsage."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


# -- output items ----------------------------------------------------------------------------


def items_of(
    parts: Iterable[Part],
    salt: str,
    *,
    summarised: bool = False,
    logprobs: list[JsonObject] | None = None,
    complete: bool = True,
) -> list[JsonObject]:
    """The output items of a reply's parts: texts and refusals in a row are one message. `complete` False: the last one
    was cut. An empty reply is an empty message. `salt`: 32 hexadecimal digits their ids begin with."""
    items: list[JsonObject] = []
    said = True  # whether the last call has arguments
    for part in parts:
        if isinstance(part, ToolCallPart):
            said = bool(part.arguments)
        content = _content_of(part, logprobs if isinstance(part, TextPart) else None)
        if content is not None:
            logprobs = (
                None if isinstance(part, TextPart) else logprobs
            )  # told of the text as a whole: on its first part
            if not items or items[-1]["type"] != "message":
                items.append(message(item_id("message", salt, len(items)), []))
            _append(items[-1]["content"], content)
            continue
        item = _item_of(part, salt, len(items), summarised=summarised)
        if item is not None:
            items.append(item)
    if not items:
        items.append(message(item_id("message", salt, 0), [text_content("")]))
    if not complete and items[-1]["type"] in ("message", "function_call"):  # others come whole or not at all
        items[-1]["status"] = "incomplete"
        if not said and items[-1]["type"] == "function_call":
            items[-1]["arguments"] = ""
    return items


def item_id(kind: str, salt: str, number: int) -> str:
    return f"{_PREFIXES[kind]}_{salt}{number:04x}"


def message(id_: str, content: list[JsonObject], status: str = "completed") -> JsonObject:
    return {"id": id_, "type": "message", "status": status, "role": "assistant", "content": content}


def text_content(
    text: str, notes: list[JsonObject] | None = None, logprobs: list[JsonObject] | None = None
) -> JsonObject:
    return {"type": "output_text", "text": text, "annotations": notes or [], "logprobs": logprobs or []}


def _append(contents: list[JsonObject], content: JsonObject) -> None:
    """A refusal goes on where one stands before it: streams do not tell two apart."""
    if contents and content["type"] == contents[-1]["type"] == "refusal":
        contents[-1]["refusal"] += content["refusal"]
    else:
        contents.append(content)


def _content_of(part: Part, logprobs: list[JsonObject] | None) -> JsonObject | None:
    match part:
        case TextPart():
            return text_content(part.text, annotations(part.citations or ()), logprobs_of(logprobs))
        case RefusalPart():
            return {"type": "refusal", "refusal": part.text}
    return None


def _item_of(part: Part, salt: str, number: int, *, summarised: bool) -> JsonObject | None:
    match part:
        case ThinkingPart():
            return thought(item_id("reasoning", salt, number), part.text, seal(part), summarised=summarised)
        case ToolCallPart():
            call_id = part.id or f"call_{salt}{number:04x}"
            return call(
                item_id("function_call", salt, number), call_id, part.name, part.arguments or "{}", part.signature
            )
        case ImagePart(data=str(data)):
            return image(item_id("image_generation_call", salt, number), data)
        case OpaquePart():
            return opaque_item(part, salt, number)
    return None


def opaque_item(part: OpaquePart, salt: str, number: int) -> JsonObject | None:
    """None for what has no place in this API."""
    if (sealed := seal(part)) is not None:
        return thought(item_id("reasoning", salt, number), "", sealed, summarised=False)
    if part.dialect != OPENAI:
        return None
    kind = part.value.get("type")
    inside = part.value.get(kind) if isinstance(kind, str) else None
    if not isinstance(inside, dict):
        return None
    if kind == "custom":
        return {
            "id": item_id("custom_tool_call", salt, number),
            "type": "custom_tool_call",
            "status": "completed",
            "call_id": part.value.get("id") or f"call_{salt}{number:04x}",
            "name": inside.get("name") or "",
            "input": inside.get("input") or "",
        }
    url = inside.get("url")
    data = split_data_url(url)[1] if kind == "image_url" and isinstance(url, str) else None
    return image(item_id("image_generation_call", salt, number), data) if data is not None else None


def thought(id_: str, text: str, sealed: str | None, *, summarised: bool, status: str | None = None) -> JsonObject:
    item: JsonObject = {"id": id_, "type": "reasoning", "summary": []}
    if text and summarised:
        item["summary"] = [{"type": "summary_text", "text": text}]
    elif text:
        item["content"] = [{"type": "reasoning_text", "text": text}]
    if sealed is not None:
        item["encrypted_content"] = sealed
    return item if status is None else item | {"status": status}


def call(
    id_: str, call_id: str, name: str, arguments: str, signature: str | None, status: str = "completed"
) -> JsonObject:
    item: JsonObject = {
        "id": id_,
        "type": "function_call",
        "status": status,
        "arguments": arguments,
        "call_id": call_id,
        "name": name,
    }
    return item | signed(signature)


def image(id_: str, data: str) -> JsonObject:
    return {"id": id_, "type": "image_generation_call", "status": "completed", "result": data}


def annotations(citations: Iterable[JsonObject]) -> list[JsonObject]:
    """Of citations those in OpenAI's shape, which chat completions nest and this API does not."""
    return list(_flat(citations))


def _flat(citations: Iterable[JsonObject]) -> Iterator[JsonObject]:
    for note in url_citations(citations):
        cited = note["url_citation"]
        if isinstance(cited, dict) and isinstance(cited.get("url"), str):
            yield {
                "type": "url_citation",
                "url": cited["url"],
                "title": cited.get("title") or "",
                "start_index": cited.get("start_index") or 0,
                "end_index": cited.get("end_index") or 0,
            }


def logprobs_of(given: Iterable[JsonObject] | None) -> list[JsonObject]:
    """Each with the bytes of its token, which other servers leave out where there are none."""
    return [
        {
            "token": entry.get("token", ""),
            "logprob": entry.get("logprob", 0.0),
            "bytes": entry.get("bytes") or [],
            "top_logprobs": [top | {"bytes": top.get("bytes") or []} for top in entry.get("top_logprobs") or ()],
        }
        for entry in given or ()
    ]
