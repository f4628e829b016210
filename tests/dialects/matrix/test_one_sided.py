"""What only one client can ask, or only one upstream can tell."""

import json
from typing import Any

import anthropic
import openai
import pytest

from tests.dialects.matrix.asks import ask
from tests.dialects.matrix.gateway import CLIENTS, UPSTREAMS, Gateway
from tests.dialects.matrix.replies import HELLO, hello


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize(
    ("param", "wish", "refusing"),
    [
        ("logprobs", {"logprobs": True, "top_logprobs": 2}, {"anthropic"}),
        ("n", {"n": 2}, {"anthropic"}),
        ("logit_bias", {"logit_bias": {"1": 5}}, {"anthropic", "gemini"}),
    ],
)
def test_what_an_upstream_cannot_do_is_refused_by_name(
    upstream: str, param: str, wish: dict[str, Any], refusing: set[str]
) -> None:
    gateway = Gateway("openai", upstream, hello(upstream))
    if upstream in refusing:
        with pytest.raises(openai.BadRequestError) as caught:
            ask(gateway, **wish)
        assert caught.value.param == param
        return
    ask(gateway, **wish)
    assert gateway.sent is not None
    assert gateway.sent.ignored == ()


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_a_seed_is_sent_or_told_to_be_ignored(upstream: str) -> None:
    gateway = Gateway("openai", upstream, hello(upstream))
    ask(gateway, seed=7)
    assert gateway.sent is not None
    assert ("seed" in json.dumps(json.loads(gateway.sent.body))) != ("seed" in gateway.sent.ignored)


@pytest.mark.parametrize("upstream", ["openai", "gemini"])
def test_a_tool_of_anthropic_is_refused_elsewhere(upstream: str) -> None:
    gateway = Gateway("anthropic", upstream, hello(upstream))
    with pytest.raises(anthropic.BadRequestError):
        ask(gateway, tools=[{"type": "web_search_20250305", "name": "web_search"}])


@pytest.mark.parametrize(
    ("upstream", "usage"),
    [
        (
            "openai",
            {
                "prompt_tokens": 3,
                "completion_tokens": 9,
                "total_tokens": 12,
                "completion_tokens_details": {"reasoning_tokens": 8},
            },
        ),
        ("gemini", {"promptTokenCount": 3, "candidatesTokenCount": 1, "thoughtsTokenCount": 8}),
    ],
)
def test_reasoning_tokens_are_a_part_of_the_output(upstream: str, usage: dict[str, Any]) -> None:
    name = "usage" if upstream == "openai" else "usageMetadata"
    body = HELLO[upstream] | {name: usage}
    reply = ask(Gateway("openai", upstream, json.dumps(body).encode()))
    assert reply.usage.completion_tokens == 9
    assert reply.usage.completion_tokens_details.reasoning_tokens == 8


def test_gemini_logprobs_reach_an_openai_client() -> None:
    body: Any = json.loads(hello("gemini"))
    body["candidates"][0]["logprobsResult"] = {
        "chosenCandidates": [{"token": "hello", "logProbability": -0.25}],
        "topCandidates": [{"candidates": [{"token": "hello", "logProbability": -0.25}]}],
    }
    reply = ask(Gateway("openai", "gemini", json.dumps(body).encode()), logprobs=True, top_logprobs=1)
    [entry] = reply.choices[0].logprobs.content
    assert (entry.token, entry.logprob, entry.top_logprobs[0].token) == ("hello", -0.25, "hello")


def test_several_gemini_candidates_are_choices() -> None:
    body: Any = json.loads(hello("gemini"))
    [first] = body["candidates"]
    body["candidates"] = [first, first | {"index": 1, "finishReason": "MAX_TOKENS"}]
    reply = ask(Gateway("openai", "gemini", json.dumps(body).encode()), n=2)
    assert [(choice.index, choice.finish_reason) for choice in reply.choices] == [(0, "stop"), (1, "length")]


def test_gemini_thoughts_are_thinking_blocks_for_an_anthropic_client() -> None:
    body: Any = json.loads(hello("gemini"))
    body["candidates"][0]["content"]["parts"].insert(0, {"text": "hm", "thought": True})
    gateway = Gateway("anthropic", "gemini", json.dumps(body).encode())
    reply = ask(gateway, max_tokens=2048, thinking={"type": "enabled", "budget_tokens": 1024})
    assert [block.type for block in reply.content] == ["thinking", "text"]
    assert gateway.sent is not None
    thinking = json.loads(gateway.sent.body)["generationConfig"]["thinkingConfig"]
    assert thinking == {"thinkingBudget": 1024, "includeThoughts": True}


def test_what_of_an_anthropic_request_gemini_has_a_word_for_is_not_told_to_be_ignored() -> None:
    gateway = Gateway("anthropic", "gemini", hello("gemini"))
    ask(
        gateway,
        metadata={"user_id": "u"},
        output_config={"effort": "low"},
        extra_body={"mcp_servers": [], "speed": "fast", "a_parameter_of_tomorrow": 1},
    )
    assert gateway.sent is not None
    assert gateway.sent.ignored == ("speed", "user")
    body = json.loads(gateway.sent.body)
    assert body["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 1024}
    assert body["a_parameter_of_tomorrow"] == 1


def test_a_blocked_prompt_is_a_refusal_for_each_client() -> None:
    blocked = b'{"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}}'
    assert ask(Gateway("openai", "gemini", blocked)).choices[0].finish_reason == "content_filter"
    assert ask(Gateway("anthropic", "gemini", blocked)).stop_reason == "refusal"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_reply_that_names_no_model_has_the_one_asked_for(client: str, stream: bool) -> None:
    body = json.dumps({name: value for name, value in HELLO["gemini"].items() if name != "modelVersion"}).encode()
    gateway = Gateway(client, "gemini", b"data: " + body + b"\n\n" if stream else body)
    ask(gateway, stream=stream)
    assert b'"model":"m"' in gateway.told
