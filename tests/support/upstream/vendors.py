"""The routes of the three vendors: from a request to the reply that the rules, or its faults, give it."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from tests.support.upstream import (
    anthropic_replies,
    anthropic_requests,
    gemini_replies,
    gemini_requests,
    openai_replies,
    openai_requests,
)
from tests.support.upstream.anthropic_threads import Threads
from tests.support.upstream.conversation import Json, Prompt, Refused
from tests.support.upstream.faults import NONE, Faults, read_faults
from tests.support.upstream.http import Received, Reply
from tests.support.upstream.rules import Rules, count_input

KEYS = {"openai": "sk-upstream-openai", "anthropic": "sk-ant-upstream", "gemini": "AIza-upstream"}
"""The API key that each vendor takes."""

MODELS = {
    "openai": ["gpt-4o-mini", "gpt-5-mini", "text-embedding-3-small"],
    "anthropic": ["claude-haiku-4-5", "claude-sonnet-5"],
    "gemini": ["gemini-2.5-flash", "gemini-3.5-flash", "gemini-embedding-001"],
}
"""What is listed. Other names are served too, but for those that begin with `missing`."""

_EMBEDDING_SIZE = 64
_JSON = ("Content-Type", "application/json")
_EVENTS = ("Content-Type", "text/event-stream; charset=utf-8")

Write = Callable[[Prompt, Any], Any]


class Vendors:
    def __init__(self) -> None:
        self._rules = Rules()
        self._threads = Threads()
        self._requests = 0

    def handle(self, received: Received) -> Reply:
        """Never raises: what is wrong with a request is told as the vendor would tell it."""
        _, vendor, path = received.path.split("/", 2)
        received.vendor = vendor
        self._requests += 1
        teller = {"openai": self._openai, "anthropic": self._anthropic, "gemini": self._gemini}.get(vendor)
        if teller is None:
            return Reply(status=404, headers=(_JSON,), body=b'{"error": "no such vendor"}')
        try:
            _authorize(vendor, received)
            return teller(received, f"/{path}")
        except Refused as refused:
            return self._refusal(vendor, refused)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            return self._refusal(vendor, Refused(f"Invalid request: {type(error).__name__}: {error}"))

    def _refusal(self, vendor: str, refused: Refused, retry_after: str | None = None) -> Reply:
        status, message = refused.status, refused.message
        told = {
            "openai": lambda: openai_replies.error(status, message, refused.param, refused.code),
            "anthropic": lambda: anthropic_replies.error(status, message, self._request_id(), refused.details),
            "gemini": lambda: gemini_replies.error(status, message),
        }[vendor]()
        more = (("Retry-After", retry_after),) if retry_after is not None else ()
        return Reply(status=status, headers=(*self._headers(vendor, _JSON), *more), body=json.dumps(told).encode())

    # -- OpenAI --------------------------------------------------------------------------------

    def _openai(self, received: Received, path: str) -> Reply:
        if received.method == "GET" and path == "/v1/models":
            return self._json("openai", openai_replies.models(MODELS["openai"]))
        _post(received)
        body: Json = received.json
        _known_model("openai", body["model"])
        if path == "/v1/embeddings":
            return self._openai_embeddings(body)
        if path != "/v1/chat/completions":
            raise Refused(f"Invalid URL (POST {path})", status=404)
        prompt = openai_requests.read_chat(body)
        return self._say("openai", prompt, openai_replies, openai_replies.error_event("The server had an error."))

    def _openai_embeddings(self, body: Json) -> Reply:
        given = body["input"]
        texts = [given] if isinstance(given, str) or (given and isinstance(given[0], int)) else given
        if not texts or any(text == "" for text in texts):
            raise Refused("Invalid 'input': input cannot be an empty string.", param="input")
        shown = [text if isinstance(text, str) else json.dumps(text) for text in texts]
        vectors = [openai_replies.embed(text, body.get("dimensions") or _EMBEDDING_SIZE) for text in shown]
        value = openai_replies.embeddings(
            body["model"], vectors, body.get("encoding_format") or "float", count_input(shown, 0)
        )
        return self._faulty("openai", read_faults(shown)) or self._json("openai", value, read_faults(shown))

    # -- Anthropic -----------------------------------------------------------------------------

    def _anthropic(self, received: Received, path: str) -> Reply:
        if not received.headers.get("anthropic-version"):
            raise Refused("anthropic-version: header is required")
        if received.method == "GET" and path == "/v1/models":
            return self._json("anthropic", anthropic_replies.models(MODELS["anthropic"]))
        _post(received)
        body: Json = received.json
        _known_model("anthropic", body.get("model", ""))
        if path == "/v1/messages/count_tokens":
            prompt = anthropic_requests.read_messages(body, counting=True)
            faults = read_faults(prompt.texts)
            counted = {"input_tokens": _count(prompt)}
            return self._faulty("anthropic", faults) or self._json("anthropic", counted, faults)
        if path != "/v1/messages":
            raise Refused("Not Found", status=404)
        threaded = body.get("thread") is not None
        body = self._threads.whole(body)
        prompt = anthropic_requests.read_messages(body)
        reply = self._say("anthropic", prompt, anthropic_replies, anthropic_replies.error_event("Overloaded"))
        if threaded and reply.message is not None:
            self._threads.keep(body, reply.message)
        return reply

    # -- Gemini --------------------------------------------------------------------------------

    def _gemini(self, received: Received, path: str) -> Reply:
        if received.method == "GET" and path == "/v1beta/models":
            return self._json("gemini", gemini_replies.models(MODELS["gemini"]))
        _post(received)
        name, _, method = path.rpartition(":")
        model = unquote(name.removeprefix("/v1beta/models/"))
        _known_model("gemini", model)
        body: Json = received.json
        match method:
            case "generateContent" | "streamGenerateContent":
                stream = method.startswith("stream")
                if stream and received.query.get("alt") != "sse":
                    raise Refused("This stand-in streams server-sent events only.")
                prompt = gemini_requests.read_generate(body, model, stream=stream)
                event = gemini_replies.error_event("The model is overloaded. Please try again later.")
                return self._say("gemini", prompt, gemini_replies, event)
            case "countTokens":
                inner = body.get("generateContentRequest") or body
                prompt = gemini_requests.read_generate(inner, model, stream=False)
                return self._json("gemini", {"totalTokens": _count(prompt)})
            case "batchEmbedContents":
                return self._gemini_embeddings(body)
            case _:
                raise Refused(f"Unknown method {method}", status=404)

    def _gemini_embeddings(self, body: Json) -> Reply:
        gemini_requests.refuse_unknown(body, frozenset(("requests",)))
        vectors = []
        for request in body["requests"]:
            text = "".join(part["text"] for part in request["content"]["parts"])
            vectors.append(openai_replies.embed(text, request.get("outputDimensionality") or _EMBEDDING_SIZE))
        return self._json("gemini", gemini_replies.embeddings(vectors))

    # -- all -----------------------------------------------------------------------------------

    def _say(self, vendor: str, prompt: Prompt, replies: Any, error_event: bytes) -> Reply:
        """`replies`: the module that writes this vendor's answers."""
        faults = read_faults(prompt.texts)
        broken = self._faulty(vendor, faults)
        if broken is not None:
            return broken
        answer = self._rules.answer(prompt, usage_stated=faults.get("no-usage") is None)
        message = replies.whole(prompt, answer)
        if not prompt.stream:
            return replace(self._json(vendor, message, faults), message=message)
        frames = tuple(replies.frames(prompt, answer))
        headers = self._headers(vendor, _EVENTS)
        return Reply(headers=headers, frames=frames, message=message, error_event=error_event, faults=faults)

    def _faulty(self, vendor: str, faults: Faults) -> Reply | None:
        """The error reply that was asked for."""
        status = faults.get("status")
        if status is None:
            return None
        retry_after = status.words[1] if len(status.words) > 1 else None
        refused = Refused(f"Failing with {status.words[0]} as told.", status=status.number())
        return self._refusal(vendor, refused, retry_after)

    def _json(self, vendor: str, value: Json, faults: Faults = NONE) -> Reply:
        body = json.dumps(value, ensure_ascii=False).encode()
        return Reply(headers=self._headers(vendor, _JSON), body=body, faults=faults)

    def _headers(self, vendor: str, content_type: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        match vendor:
            case "openai":
                own: tuple[tuple[str, str], ...] = (
                    ("x-request-id", self._request_id()),
                    ("openai-processing-ms", "12"),
                    ("openai-organization", "org-of-the-operator"),
                    ("openai-project", "proj_of_the_operator"),
                    ("x-ratelimit-remaining-requests", "9999"),
                    ("x-ratelimit-limit-requests", "10000"),
                )
            case "anthropic":
                own = (
                    ("request-id", self._request_id()),
                    ("anthropic-ratelimit-requests-remaining", "3999"),
                    ("anthropic-organization-id", "0b21c0c2-1e8b-4a52-8f2b-000000000000"),
                )
            case _:
                own = (("server", "scaffolding on HTTPServer2"),)
        return (content_type, *own)

    def _request_id(self) -> str:
        return f"req_upstream_{self._requests:06d}"


def _authorize(vendor: str, received: Received) -> None:
    headers = received.headers
    presented = {
        "openai": headers.get("authorization", "").removeprefix("Bearer "),
        "anthropic": headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer "),
        "gemini": headers.get("x-goog-api-key", ""),
    }[vendor]
    if presented != KEYS[vendor]:
        status = 400 if vendor == "gemini" else 401
        raise Refused(f"Incorrect API key provided: {presented[:7]}***.", status=status)


def _post(received: Received) -> None:
    if received.method != "POST":
        raise Refused("Method not allowed", status=405)


def _known_model(vendor: str, model: str) -> None:
    if model.startswith("missing"):
        words = {"openai": f"The model `{model}` does not exist.", "anthropic": f"model: {model}"}
        raise Refused(words.get(vendor, f"models/{model} is not found."), status=404, code="model_not_found")


def _count(prompt: Prompt) -> int:
    shown = [json.dumps([tool.name, tool.description, tool.schema]) for tool in prompt.tools]
    media = sum(len(turn.media) for turn in prompt.turns)
    return count_input([*prompt.texts, *shown], len(prompt.turns), media)
