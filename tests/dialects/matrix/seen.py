"""What an upstream is asked, read out of the body in its own dialect into one common form."""

import json
from collections.abc import Callable
from typing import Any

from msgspec import Struct, field

from tenfold.core.chat import JsonObject


class Seen(Struct, kw_only=True):
    system: str = ""
    texts: list[tuple[str, str]] = field(default_factory=list)  # (user or assistant, text), in order
    calls: list[tuple[str, JsonObject]] = field(default_factory=list)
    results: list[tuple[str, str]] = field(default_factory=list)  # (name of the function, text)
    images: list[str] = field(default_factory=list)  # base64 or URL
    tools: dict[str, JsonObject] = field(default_factory=dict)
    choice: str | None = None  # auto, none, required, or the function's name
    schema: JsonObject | None = None
    stop: list[str] = field(default_factory=list)
    max_tokens: int | None = None
    temperature: float | None = None


def seen_openai(body: JsonObject) -> Seen:
    seen = Seen(
        stop=body.get("stop", []),
        max_tokens=body.get("max_tokens", body.get("max_completion_tokens")),
        temperature=body.get("temperature"),
        tools={tool["function"]["name"]: tool["function"].get("parameters") for tool in body.get("tools", [])},
        schema=body.get("response_format", {}).get("json_schema", {}).get("schema"),
    )
    choice = body.get("tool_choice")
    seen.choice = choice["function"]["name"] if isinstance(choice, dict) else choice
    names: dict[str, str] = {}
    for message in body["messages"]:
        content = message.get("content")
        parts: list[JsonObject] = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        text = "".join(part["text"] for part in parts if part["type"] == "text")
        seen.images += [
            part["image_url"]["url"].rpartition("base64,")[2] for part in parts if part["type"] == "image_url"
        ]
        if message["role"] in ("system", "developer"):
            seen.system += text
        elif message["role"] == "tool":
            seen.results.append((names[message["tool_call_id"]], text))
        else:
            seen.texts += [(message["role"], text)] if text else []
        for call in message.get("tool_calls", []):
            names[call["id"]] = call["function"]["name"]
            seen.calls.append((call["function"]["name"], json.loads(call["function"]["arguments"])))
    return seen


def seen_anthropic(body: JsonObject) -> Seen:
    system = body.get("system", "")
    seen = Seen(
        system=system if isinstance(system, str) else "".join(block["text"] for block in system),
        stop=body.get("stop_sequences", []),
        max_tokens=body["max_tokens"],
        temperature=body.get("temperature"),
        tools={tool["name"]: tool["input_schema"] for tool in body.get("tools", [])},
        schema=body.get("output_config", {}).get("format", {}).get("schema"),
    )
    choice = body.get("tool_choice", {})
    words = {"auto": "auto", "none": "none", "any": "required", "tool": choice.get("name"), None: None}
    seen.choice = words[choice.get("type")]
    names: dict[str, str] = {}
    for message in body["messages"]:
        content = message["content"]
        blocks: list[JsonObject] = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for block in blocks:
            match block["type"]:
                case "text":
                    seen.texts.append((message["role"], block["text"]))
                case "tool_use":
                    names[block["id"]] = block["name"]
                    seen.calls.append((block["name"], block["input"]))
                case "tool_result":
                    seen.results.append((names[block["tool_use_id"]], _result_text(block["content"])))
                case "image":
                    seen.images.append(block["source"].get("data") or block["source"]["url"])
    return seen


def _result_text(content: str | list[JsonObject]) -> str:
    return content if isinstance(content, str) else "".join(block["text"] for block in content)


def seen_gemini(body: JsonObject) -> Seen:
    config = body.get("generationConfig", {})
    functions = [function for tool in body.get("tools", []) for function in tool["functionDeclarations"]]
    seen = Seen(
        system="".join(part["text"] for part in body.get("systemInstruction", {}).get("parts", [])),
        stop=config.get("stopSequences", []),
        max_tokens=config.get("maxOutputTokens"),
        temperature=config.get("temperature"),
        tools={function["name"]: function["parametersJsonSchema"] for function in functions},
        schema=config.get("responseJsonSchema"),
    )
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
    words = {"AUTO": "auto", "VALIDATED": "auto", "NONE": "none", "ANY": "required", None: None}
    seen.choice = next(iter(calling.get("allowedFunctionNames", [])), words[calling.get("mode")])
    for turn in body["contents"]:
        role = "assistant" if turn["role"] == "model" else "user"
        for part in turn["parts"]:
            match part:
                case {"text": text}:
                    seen.texts.append((role, text))
                case {"functionCall": call}:
                    seen.calls.append((call["name"], call["args"]))
                case {"functionResponse": result}:
                    response = result["response"]
                    text = response["result"] if list(response) == ["result"] else json.dumps(response)
                    seen.results.append((result["name"], text))
                case {"inlineData": data}:
                    seen.images.append(data["data"])
                case {"fileData": data}:
                    seen.images.append(data["fileUri"])
    return seen


READERS: dict[str, Callable[[JsonObject], Seen]] = {
    "openai": seen_openai,
    "anthropic": seen_anthropic,
    "gemini": seen_gemini,
}


def seen(upstream: str, body: bytes) -> Seen:
    value: Any = json.loads(body)
    return READERS[upstream](value)
