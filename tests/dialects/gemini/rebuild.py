"""Canonical requests rebuilt from recorded Gemini ones, and a common form in which the two bodies can be compared."""

import json
from typing import Any

from tenfold.core.chat import (
    ChatRequest,
    FilePart,
    ImagePart,
    JsonObject,
    Message,
    OpaquePart,
    Part,
    ResponseFormat,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from tenfold.providers.gemini.paths import camel

_CHOICES = {"AUTO": "auto", "NONE": "none", "ANY": "required"}
_OPAQUE_INSIDE = ("args", "response", "parameters", "parametersJsonSchema", "responseJsonSchema", "responseSchema")


def spelled(value: Any, *, inside: str = "") -> Any:
    """Every member in camel case, but for what the user wrote (schemas, arguments, results)."""
    if inside in _OPAQUE_INSIDE:
        return value
    if isinstance(value, dict):
        return {camel(name): spelled(inner, inside=camel(name)) for name, inner in value.items()}
    return [spelled(inner) for inner in value] if isinstance(value, list) else value


def canonical(row: JsonObject) -> ChatRequest:
    """What a client would have said to cause this recorded call."""
    body: JsonObject = spelled(row["request"])
    config = dict(body.get("generationConfig", {}))
    model = row["path"].split("/")[-1].split(":")[0]
    extra: JsonObject = {name: body[name] for name in ("safetySettings", "cachedContent") if name in body}
    choice = _tool_choice(body.get("toolConfig", {}), extra)
    response_format = _response_format(config)
    config.pop("responseModalities", None)
    known = {name: config.pop(name, None) for name in ("maxOutputTokens", "temperature", "topK")}
    if config:
        extra["generationConfig"] = config
    return ChatRequest(
        model=model,
        messages=_system(body) + _messages(body["contents"]),
        tools=_tools(body.get("tools", [])),
        tool_choice=choice,
        response_format=response_format,
        max_tokens=known["maxOutputTokens"],
        temperature=known["temperature"],
        top_k=known["topK"],
        stream="stream" in row["path"],
        extra=extra,
    )


def _tool_choice(tool_config: JsonObject, extra: JsonObject) -> ToolChoice | None:
    calling = tool_config.get("functionCallingConfig", {})
    rest = {name: value for name, value in tool_config.items() if name != "functionCallingConfig"}
    names = calling.get("allowedFunctionNames", [])
    choice: ToolChoice | None = None
    if calling.get("mode") == "ANY" and len(names) == 1:
        choice = ToolChoice(mode="named", name=names[0])
    elif calling.get("mode") in _CHOICES and not names:
        choice = ToolChoice(mode=_CHOICES[calling["mode"]])  # type: ignore[arg-type] # a value of _CHOICES
    elif calling:
        rest["functionCallingConfig"] = calling
    if rest:
        extra["toolConfig"] = rest
    return choice


def _response_format(config: JsonObject) -> ResponseFormat | None:
    if config.get("responseMimeType") != "application/json" or "responseSchema" in config:
        return None
    config.pop("responseMimeType")
    schema = config.pop("responseJsonSchema", None)
    return ResponseFormat(kind="json_schema" if schema else "json_object", schema=schema)


def _system(body: JsonObject) -> list[Message]:
    parts: list[Part] = [TextPart(text=part["text"]) for part in body.get("systemInstruction", {}).get("parts", [])]
    return [Message(role="system", parts=parts)] if parts else []


def _tools(tools: list[JsonObject] | JsonObject) -> list[Tool]:
    out: list[Tool] = []
    for tool in [tools] if isinstance(tools, dict) else tools:
        for function in tool.get("functionDeclarations", []):
            schema = function.get("parametersJsonSchema") or function.get("parameters")
            out.append(Tool(name=function["name"], description=function.get("description"), parameters=schema))
        if "functionDeclarations" not in tool:
            out.append(Tool(name=next(iter(tool)), opaque=OpaquePart(dialect="gemini", value=tool)))
    return out


def _messages(contents: list[JsonObject]) -> list[Message]:
    made: dict[str, str] = {}
    messages: list[Message] = []
    for content in contents:
        parts = [part for wire_part in content["parts"] for part in _parts(wire_part, made)]
        results = any(isinstance(part, ToolResultPart) for part in parts)
        role = "assistant" if content["role"] == "model" else "tool" if results else "user"
        messages.append(Message(role=role, parts=parts))  # type: ignore[arg-type] # one of three roles
    return messages


def _parts(part: JsonObject, made: dict[str, str]) -> list[Part]:
    signature = part.get("thoughtSignature")
    match part:
        case {"functionCall": call}:
            call_id = call.get("id") or made.setdefault(call["name"], f"made-{call['name']}")
            arguments = json.dumps(call["args"])
            return [ToolCallPart(id=call_id, name=call["name"], arguments=arguments, signature=signature)]
        case {"functionResponse": result}:
            call_id = result.get("id") or f"made-{result['name']}"
            content: list[Part] = [TextPart(text=json.dumps(result["response"]))]
            content += [_file(inner["inlineData"]) for inner in result.get("parts", [])]
            return [ToolResultPart(call_id=call_id, content=content)]
        case {"inlineData": data}:
            return [_file(data)]
        case {"fileData": data} if "videoMetadata" not in part:
            return [FilePart(url=data["fileUri"], media_type=data["mimeType"])]
        case {"text": text}:
            signed = OpaquePart(dialect="gemini", value={"text": "", "thoughtSignature": signature})
            return [TextPart(text=text), signed] if signature else [TextPart(text=text)]
        case _:
            return [OpaquePart(dialect="gemini", value=part)]


def _file(data: JsonObject) -> Part:
    if data["mimeType"].startswith("image/"):
        return ImagePart(data=data["data"], media_type=data["mimeType"])
    return FilePart(data=data["data"], media_type=data["mimeType"])


def comparable(body: JsonObject) -> JsonObject:
    """Two bodies that ask for the same are equal in this form: parts in order with their role, wherever turns were
    divided; a signature on text on a part of its own; schemas under one name; defaults left out."""
    value: JsonObject = spelled(body)
    said = [
        {"role": content["role"], **part}
        for content in value.pop("contents")
        for wire_part in content["parts"]
        for part in _split(wire_part)
    ]
    value["said"] = [part for part in said if part.get("text") != "" or "thoughtSignature" in part]
    value.get("systemInstruction", {}).pop("role", None)
    config = value.pop("generationConfig", {})
    if config.get("responseModalities") == ["TEXT"]:
        del config["responseModalities"]
    tools = value.pop("tools", [])
    value["tools"] = [_same_name(tool) for tool in ([tools] if isinstance(tools, dict) else tools)]
    return value | {"config": config}


def _split(part: JsonObject) -> list[JsonObject]:
    signed = part.get("text") and part.get("thoughtSignature")
    call = part.get("functionCall") or part.get("functionResponse") or {}
    if str(call.get("id", "")).startswith("made-"):
        del call["id"]
    if signed:
        return [{"text": part["text"]}, {"text": "", "thoughtSignature": part["thoughtSignature"]}]
    return [part]


def _same_name(tool: JsonObject) -> JsonObject:
    functions = [
        {("parametersJsonSchema" if name == "parameters" else name): inner for name, inner in function.items()}
        for function in tool.get("functionDeclarations", [])
    ]
    return tool | ({"functionDeclarations": functions} if functions else {})
