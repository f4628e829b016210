"""Every client over every upstream: what was asked arrives, in the upstream's own words."""

import pytest
from msgspec.structs import replace

from tests.dialects.matrix.asks import CITY, CONVERSATION, SCHEMAS, TOOL_CHOICES, ask, converse
from tests.dialects.matrix.gateway import CLIENTS, UPSTREAMS, Gateway
from tests.dialects.matrix.replies import hello
from tests.dialects.matrix.seen import Seen, seen

pytestmark = [pytest.mark.parametrize("client", CLIENTS), pytest.mark.parametrize("upstream", UPSTREAMS)]


def asked(gateway: Gateway) -> Seen:
    assert gateway.sent is not None
    return seen(gateway.upstream, gateway.sent.body)


def test_a_conversation_with_parallel_calls_and_an_image(client: str, upstream: str) -> None:
    gateway = Gateway(client, upstream, hello(upstream))
    converse(gateway)
    assert asked(gateway) == CONVERSATION


@pytest.mark.parametrize("choice", ["none", "required", "get_time"])
def test_tool_choices(client: str, upstream: str, choice: str) -> None:
    gateway = Gateway(client, upstream, hello(upstream))
    converse(gateway, tool_choice=TOOL_CHOICES[client][choice])
    assert asked(gateway) == replace(CONVERSATION, choice=choice)


def test_a_json_schema(client: str, upstream: str) -> None:
    gateway = Gateway(client, upstream, hello(upstream))
    ask(gateway, **SCHEMAS[client])
    assert asked(gateway).schema == CITY


def test_an_image_by_url(client: str, upstream: str) -> None:
    url = "https://example.com/cat.png"
    block = {
        "openai": {"type": "image_url", "image_url": {"url": url}},
        "anthropic": {"type": "image", "source": {"type": "url", "url": url}},
    }[client]
    gateway = Gateway(client, upstream, hello(upstream))
    ask(gateway, messages=[{"role": "user", "content": [{"type": "text", "text": "what?"}, block]}])
    assert (asked(gateway).images, asked(gateway).texts) == ([url], [("user", "what?")])


@pytest.mark.parametrize("stream", [False, True])
def test_streaming_is_asked_for_as_each_upstream_wants_it(client: str, upstream: str, stream: bool) -> None:
    gateway = Gateway(client, upstream, b"" if stream else hello(upstream))
    ask(gateway, stream=stream)
    assert gateway.sent is not None
    assert (b'"stream":true' in gateway.sent.body or "streamGenerateContent?alt=sse" in gateway.sent.path) == stream


def test_unknown_parameters_travel(client: str, upstream: str) -> None:
    gateway = Gateway(client, upstream, hello(upstream))
    ask(gateway, extra_body={"a_parameter_of_tomorrow": 1})
    assert gateway.sent is not None
    assert b'"a_parameter_of_tomorrow":1' in gateway.sent.body
