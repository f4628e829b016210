"""Gemini generateContent: reading a request as strictly as the API does. Only the spellings of its JSON form."""

import base64
import binascii
import re
from typing import Any

from tests.support.upstream.conversation import FORCED_ANY, Called, Json, Offered, Prompt, Refused, Turn

_TOP = frozenset(
    (
        *("contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings"),
        *("cachedContent", "serviceTier", "store", "labels", "model"),
    )
)
_CONFIG = frozenset(
    (
        *("candidateCount", "enableEnhancedCivicAnswers", "frequencyPenalty", "imageConfig", "logprobs"),
        *("maxOutputTokens", "mediaResolution", "presencePenalty", "responseJsonSchema", "responseLogprobs"),
        *("responseMimeType", "responseModalities", "responseSchema", "seed", "speechConfig", "stopSequences"),
        *("temperature", "thinkingConfig", "topK", "topP"),
    )
)
_FUNCTION = frozenset(("name", "description", "parameters", "parametersJsonSchema", "response", "behavior"))
_FUNCTION_NAME = re.compile(r"[a-zA-Z_][\w.:-]{0,127}")
_BESIDE = frozenset(("thought", "thoughtSignature", "videoMetadata", "mediaResolution", "partMetadata"))


def read_generate(body: Json, model: str, *, stream: bool) -> Prompt:
    """Raises Refused."""
    _only(body, _TOP, "")
    config = body.get("generationConfig") or {}
    _only(config, _CONFIG, " at 'generation_config'")
    tools = [_read_function(function) for tool in body.get("tools") or [] for function in _functions(tool)]
    calling = ((body.get("toolConfig") or {}).get("functionCallingConfig")) or {}
    mode, allowed = calling.get("mode", "AUTO"), calling.get("allowedFunctionNames") or []
    if mode not in ("AUTO", "ANY", "NONE", "VALIDATED"):
        raise Refused(f"Invalid value at 'tool_config.function_calling_config.mode': \"{mode}\"")
    if allowed and mode not in ("ANY", "VALIDATED"):
        raise Refused("allowed_function_names should be set only when function calling mode is ANY or VALIDATED.")
    if calling and not tools and mode != "NONE":
        raise Refused("Function calling config is set without function_declarations.")
    wants_json = config.get("responseMimeType") == "application/json"
    _check_config(config, tools=bool(tools), wants_json=wants_json)
    thinking = config.get("thinkingConfig") or {}
    system = _read_parts((body.get("systemInstruction") or {}).get("parts") or [], "systemInstruction")
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    return Prompt(
        model=model,
        turns=tuple(_read_contents(body.get("contents"), signed=model.startswith("gemini-3"))),
        system=system.text,
        tools=tuple(tools),
        calling=mode != "NONE",
        forced=(allowed[0] if len(allowed) == 1 else FORCED_ANY) if mode == "ANY" else None,
        schema=schema if wants_json else None,
        json_object=wants_json and schema is None,
        stop=tuple(config.get("stopSequences") or ()),
        max_tokens=config.get("maxOutputTokens"),
        n=config.get("candidateCount") or 1,
        logprobs=config.get("logprobs") or 0 if config.get("responseLogprobs") else None,
        thinks=bool(thinking) and thinking.get("thinkingBudget") != 0,
        shows_thoughts=bool(thinking.get("includeThoughts")),
        stream=stream,
    )


def refuse_unknown(body: Json, known: frozenset[str]) -> None:
    _only(body, known, "")


def _only(value: Json, known: frozenset[str], where: str) -> None:
    for name in value:
        if name not in known:
            raise Refused(f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.')


def _functions(tool: Json) -> list[Json]:
    functions: list[Json] = tool.get("functionDeclarations") or []
    return functions


def _read_function(function: Json) -> Offered:
    _only(function, _FUNCTION, " at 'tools[0].function_declarations[0]'")
    if not _FUNCTION_NAME.fullmatch(function["name"]):
        raise Refused("Invalid function name. Must start with a letter or an underscore.")
    schema = function.get("parametersJsonSchema") or function.get("parameters") or {}
    return Offered(name=function["name"], description=function.get("description", ""), schema=schema)


def _check_config(config: Json, *, tools: bool, wants_json: bool) -> None:
    if (config.get("responseJsonSchema") or config.get("responseSchema")) and not wants_json:
        raise Refused("Response schema requires response_mime_type application/json.")
    if wants_json and tools:
        raise Refused("Function calling with a response mime type: 'application/json' is unsupported")
    if len(config.get("stopSequences") or ()) > 5:
        raise Refused("The number of stop sequences must be at most 5.")
    if not 1 <= config.get("candidateCount", 1) <= 8:
        raise Refused("candidate_count must be between 1 and 8.")
    if config.get("logprobs") is not None and not config.get("responseLogprobs"):
        raise Refused("logprobs is only valid when response_logprobs is true.")
    if not 0 <= config.get("temperature", 1) <= 2:
        raise Refused("temperature must be in the range [0.0, 2.0].")
    if config.get("maxOutputTokens", 1) < 1:
        raise Refused("max_output_tokens must be positive.")


def _read_contents(contents: Any, *, signed: bool) -> list[Turn]:
    if not contents:
        raise Refused("* GenerateContentRequest.contents: contents is not specified")
    turns: list[Turn] = []
    for number, content in enumerate(contents):
        role, where = content.get("role", "user"), f"contents[{number}]"
        if role not in ("user", "model", "function"):
            raise Refused("Please use a valid role: user, model.")
        turn = _read_parts(content.get("parts") or [], where, model=role == "model")
        made = len(turns[-1].calls) if turns else 0
        if made != len(turn.results):
            raise Refused(
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )
        if turn.calls and (not turns or turns[-1].role == "assistant"):
            raise Refused(
                "Please ensure that function call turn comes immediately after a user turn or after a function "
                "response turn."
            )
        if turn.calls and signed:
            first = next(part for part in content["parts"] if "functionCall" in part)
            if not first.get("thoughtSignature"):
                raise Refused("Function call is missing a thought_signature in functionCall parts.")
        turns.append(turn)
    if turns[-1].role == "assistant":
        raise Refused("Please ensure that multiturn requests end with a user role.")
    return turns


def _read_parts(parts: list[Json], where: str, *, model: bool = False) -> Turn:
    if not parts and where != "systemInstruction":
        raise Refused(f"* GenerateContentRequest.{where}.parts: contents.parts must not be empty.")
    texts, calls, results, media = [], [], [], []
    for part in parts:
        kinds = set(part) - _BESIDE
        if len(kinds) != 1:
            raise Refused(f"* GenerateContentRequest.{where}.parts[0].data: required oneof field 'data' must have one")
        kind = kinds.pop()
        value = part[kind]
        match kind:
            case "text":
                texts += [] if part.get("thought") else [value]
            case "functionCall" if model:
                calls.append(Called(id=value.get("id", ""), name=value["name"], arguments=value.get("args") or {}))
            case "functionResponse" if not model:
                if not isinstance(value["response"], dict):
                    raise Refused("Invalid value at 'function_response.response' (type.googleapis.com/Struct)")
                results.append((value["name"], str(next(iter(value["response"].values()), ""))))
                media += ["image" for _ in value.get("parts") or ()]
            case "inlineData":
                media.append(_media(value))
            case "fileData":
                media.append("file")
            case _:
                raise Refused(
                    f"Invalid JSON payload received. Unknown name \"{kind}\" at '{where}': Cannot find field."
                )
    return Turn(
        role="assistant" if model else "user",
        text="\n".join(texts),
        calls=tuple(calls),
        results=tuple(results),
        media=tuple(media),
    )


def _media(blob: Json) -> str:
    try:
        base64.b64decode(blob["data"], validate=True)
    except binascii.Error:
        raise Refused("Invalid value at 'inline_data.data' (TYPE_BYTES), Base64 decoding failed") from None
    kind = str(blob["mimeType"]).split("/")[0]
    return {"image": "image", "audio": "audio"}.get(kind, "document")
