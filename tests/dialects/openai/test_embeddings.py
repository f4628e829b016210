"""Embeddings: texts and token ids in, vectors as numbers or as base64 out, in the order of the inputs."""

import json
import struct
from base64 import b64encode
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.resources import Embeddings

from tenfold.core.chat import EmbeddingsReply, EmbeddingsRequest
from tenfold.core.errors import InvalidRequest, UpstreamError
from tenfold.core.usage import Usage
from tenfold.edge.dialects.openai import OpenAIDialect
from tenfold.providers.openai import OpenAIWire
from tests.dialects.openai.vectors import recorded
from tests.support.openai_schema import assert_valid, official_examples
from tests.support.shared_data import shared_data

DIALECT = OpenAIDialect()
WIRE = OpenAIWire()


def decoded(**members: Any) -> EmbeddingsRequest:
    return DIALECT.decode_embeddings(json.dumps({"model": "e"} | members).encode())


def sdk(reply: EmbeddingsReply) -> Embeddings:
    """OpenAI's SDK, which asks for base64 unless told otherwise, before a gateway that has this reply."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        body = DIALECT.encode_embeddings(reply, DIALECT.decode_embeddings(request.read()))
        return httpx2.Response(200, content=body, headers={"content-type": "application/json"})

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(api_key="k", base_url="http://gateway/v1", http_client=http, max_retries=0).embeddings


@pytest.mark.parametrize(
    ("given_input", "inputs"),
    [
        ("hi", ["hi"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2, 3], [[1, 2, 3]]),
        ([[1, 2], [3]], [[1, 2], [3]]),
    ],
)
def test_inputs_in_every_form(given_input: Any, inputs: Any) -> None:
    assert decoded(input=given_input).inputs == inputs


def test_every_member_survives() -> None:
    request = decoded(input="x", dimensions=8, encoding_format="base64", user="u", input_type="query")
    out = WIRE.encode_embeddings(request, "up")
    assert out.path == "/embeddings"
    assert json.loads(out.body) == {
        "model": "up",
        "input": ["x"],
        "dimensions": 8,
        "encoding_format": "base64",
        "user": "u",
        "input_type": "query",
    }
    assert DIALECT.peek("embeddings", b'{"model":"e","input":"x","user":"u"}').user == "u"


def test_recorded_and_official_requests_ask_the_same() -> None:
    raws = [json.dumps(row["request"]) for row in recorded("embeddings", "openai")]
    raws += [row["curl"].split("-d '", 1)[1].rsplit("'", 1)[0] for row in official_examples("/embeddings")]
    assert len(raws) >= 2
    for raw in raws:
        asked = json.loads(raw)
        request = DIALECT.decode_embeddings(raw.encode())
        out = json.loads(WIRE.encode_embeddings(request, request.model).body)
        assert_valid("CreateEmbeddingRequest", out)
        asked["input"] = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
        assert {"encoding_format": "float"} | out == {"encoding_format": "float"} | asked


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [""]}, "input"),
        ({"input": [[]]}, "input[0]"),
        ({"input": ["a", 1]}, "input"),
        ({"input": [1, [2]]}, "input"),
        ({"input": 5}, "input"),
        ({"input": None}, "input"),
        ({"input": [1.5]}, "input[0]"),
        ({"input": [True]}, "input[0]"),
        ({"input": ["x"] * 2049}, "input"),
        ({"input": "x", "dimensions": 0}, "dimensions"),
        ({"input": "x", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "x", "model": ""}, "model"),
        ({"input": "x", "user": 1}, "user"),
    ],
)
def test_the_offending_field_is_named(members: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decoded(**members)
    assert caught.value.param == param


def test_a_key_that_comes_twice_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="twice"):
        DIALECT.decode_embeddings(b'{"model":"e","input":"x","input":"y"}')


def test_recorded_replies() -> None:
    bodies = [json.dumps(row["response_json"]).encode() for row in recorded("embeddings", "openai")]
    bodies.append((shared_data("wire_fixtures/vercel_openai_embedding") / "openai-embedding.json").read_bytes())
    for body in bodies:
        said = json.loads(body)
        reply = WIRE.decode_embeddings(body)
        assert reply.model == said["model"]
        assert reply.usage is not None
        assert reply.usage == Usage(input_tokens=said["usage"]["prompt_tokens"])
        assert WIRE.usage_of_reply(body) == reply.usage
        assert_valid("CreateEmbeddingResponse", json.loads(DIALECT.encode_embeddings(reply, decoded(input="x"))))
        for told in (
            sdk(reply).create(model="e", input="x"),
            sdk(reply).create(model="e", input="x", encoding_format="float"),
        ):
            assert [item.embedding for item in told.data] == [
                pytest.approx(vector, rel=1e-6) for vector in reply.vectors
            ]
            assert told.usage.prompt_tokens == reply.usage.input_tokens
    assert len(WIRE.decode_embeddings(bodies[-1]).vectors) == 2


def test_vectors_come_in_the_order_of_their_inputs() -> None:
    data = [{"index": index, "embedding": [float(index)]} for index in (2, 0, 1)]
    assert WIRE.decode_embeddings(json.dumps({"data": data}).encode()).vectors == [[0.0], [1.0], [2.0]]
    unnumbered = [{"embedding": [1]}, {"embedding": [2]}]
    assert WIRE.decode_embeddings(json.dumps({"data": unnumbered}).encode()).vectors == [[1.0], [2.0]]


@given(vectors=st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=5)))
def test_both_forms_carry_the_same_numbers(vectors: list[list[float]]) -> None:
    reply = EmbeddingsReply(model="e", vectors=vectors)
    for form in ("float", "base64"):
        request = decoded(input="x", encoding_format=form)
        assert WIRE.decode_embeddings(DIALECT.encode_embeddings(reply, request)).vectors == vectors
    text = json.loads(DIALECT.encode_embeddings(reply, decoded(input="x", encoding_format="base64")))
    packed = [b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() for vector in vectors]
    assert [item["embedding"] for item in text["data"]] == packed


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"data":[1]}',
        b'{"data":[{"embedding":"!"}]}',
        b'{"data":[{"embedding":"AAA="}]}',
        b'{"data":[{"embedding":["x"]}]}',
        b'{"data":[{"embedding":null}]}',
    ],
)
def test_what_is_no_embedding_is_a_malformed_reply(body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        WIRE.decode_embeddings(body)
    assert caught.value.kind == "malformed_reply"


def test_an_error_with_status_200_is_an_error() -> None:
    with pytest.raises(UpstreamError, match="no such model"):
        WIRE.decode_embeddings(b'{"error":{"message":"no such model","code":404}}')
