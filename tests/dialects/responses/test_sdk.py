"""The official SDK as its users use it: parsed answers, loops of tool calls, over every upstream's wire."""

import json

import httpx2
import openai
import pytest
from openai.types.responses import ResponseInputItemParam
from pydantic import BaseModel

from tenfold.core.errors import TenfoldError
from tenfold.edge.dialects.responses import ResponsesDialect
from tests.dialects.matrix.gateway import MODELS, UPSTREAMS, upstream_wire
from tests.dialects.matrix.replies import hello
from tests.dialects.responses.protocol import check_whole

DIALECT = ResponsesDialect()

CALLS: dict[str, bytes] = {
    "openai": b'{"id":"chatcmpl-1","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":null,'
    b'"tool_calls":[{"id":"call_1","type":"function","function":{"name":"add","arguments":"{\\"a\\":1,\\"b\\":2}"}},'
    b'{"id":"call_2","type":"function","function":{"name":"add","arguments":"{\\"a\\":3,\\"b\\":4}"}}]},'
    b'"finish_reason":"tool_calls"}]}',
    "anthropic": b'{"id":"msg_1","type":"message","role":"assistant","model":"m","content":['
    b'{"type":"thinking","thinking":"add them","signature":"c2ln"},{"type":"text","text":"Adding."},'
    b'{"type":"tool_use","id":"toolu_1","name":"add","input":{"a":1,"b":2}},'
    b'{"type":"tool_use","id":"toolu_2","name":"add","input":{"a":3,"b":4}}],'
    b'"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}',
    "gemini": b'{"candidates":[{"content":{"role":"model","parts":[{"functionCall":{"name":"add","args":{"a":1,"b":2}},'
    b'"thoughtSignature":"c2ln"},{"functionCall":{"name":"add","args":{"a":3,"b":4}}}]},"finishReason":"STOP"}],'
    b'"responseId":"r1"}',
}


def saying(upstream: str, text: str) -> bytes:
    return hello(upstream).replace(b'"hello"', json.dumps(text).encode())


class Upstream:
    """The SDK's transport: the dialect, a wire, and answers in turn."""

    def __init__(self, name: str, *answers: bytes) -> None:
        self.sent: list[bytes] = []
        self._wire, self._model = upstream_wire(name), MODELS[name]
        self._answers = list(answers)

    @property
    def client(self) -> openai.OpenAI:
        http = httpx2.Client(transport=httpx2.MockTransport(self._answer))
        return openai.OpenAI(api_key="k", base_url="http://gateway/v1", http_client=http, max_retries=0)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        try:
            body = request.read()
            DIALECT.peek("chat", body)
            asked = DIALECT.decode_chat(body)
            self.sent.append(self._wire.encode_chat(asked, self._model).body)
            told = DIALECT.encode_reply(self._wire.decode_chat(self._answers.pop(0)), asked)
            check_whole(told)
            return httpx2.Response(200, content=told, headers={"content-type": "application/json"})
        except TenfoldError as error:
            return httpx2.Response(error.status, content=DIALECT.encode_error(error, "req_1"))


class Sum(BaseModel):
    total: int


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_parsed_answers(upstream: str) -> None:
    client = Upstream(upstream, saying(upstream, '{"total":3}')).client
    response = client.responses.parse(model="m", input="1+2?", text_format=Sum)
    assert response.output_parsed == Sum(total=3)


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_a_loop_of_tool_calls(upstream: str) -> None:
    """What came out goes back in with the results, as OpenAI's guide has it, and nothing of it is lost on the way."""
    server = Upstream(upstream, CALLS[upstream], saying(upstream, "10"))
    tool = {"type": "function", "name": "add", "strict": True, "parameters": {
        "type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"],
        "additionalProperties": False}}  # fmt: skip
    items: list[ResponseInputItemParam] = [{"role": "user", "content": "1+2+3+4?"}]
    response = server.client.responses.create(model="m", input=items, tools=[tool])  # type: ignore[list-item]
    items += response.output  # type: ignore[arg-type]
    for item in response.output:
        if item.type == "function_call":
            numbers = json.loads(item.arguments)
            result = json.dumps(numbers["a"] + numbers["b"])
            items.append({"type": "function_call_output", "call_id": item.call_id, "output": result})
    response = server.client.responses.create(model="m", input=items, tools=[tool])  # type: ignore[list-item]
    assert response.output_text == "10"
    sent = server.sent[1].decode()
    assert sent.index('"3"') < sent.index('"7"') if upstream != "gemini" else "7" in sent
    if upstream == "anthropic":
        assert '{"type":"thinking","thinking":"add them","signature":"c2ln"}' in sent
    if upstream == "gemini":
        assert '"thoughtSignature":"c2ln"' in sent


def test_errors_are_the_sdks() -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        Upstream("openai").client.responses.create(model="m", input="hi", tools=[{"type": "web_search"}])
    assert refused.value.param == "tools[0]"
    assert refused.value.code == "unsupported_parameter"
