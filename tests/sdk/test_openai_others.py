"""The official OpenAI SDK: embeddings, the list of models, raw replies."""

import base64
import math
import struct

import openai
import pytest

from tests.sdk.models import CLAUDE, GEMINI, OFFLINE, OPENAI
from tests.support.upstream_server import UpstreamServer

OFFLINE_EMBEDDING = "offline-granite-30m"
EMBEDDERS = ["text-embedding-3-small", "gemini-embedding-001", OFFLINE_EMBEDDING]
every_embedder = pytest.mark.parametrize("model", EMBEDDERS)


def length(vector: list[float]) -> float:
    return math.sqrt(sum(value * value for value in vector))


@every_embedder
def test_embeddings(openai_client: openai.OpenAI, model: str) -> None:
    reply = openai_client.embeddings.create(model=model, input=["Łódź", "two"])
    assert [item.index for item in reply.data] == [0, 1]
    assert reply.data[0].embedding != reply.data[1].embedding
    assert all(length(item.embedding) == pytest.approx(1, abs=1e-3) for item in reply.data)
    assert reply.model == model
    assert reply.usage.prompt_tokens == reply.usage.total_tokens >= 0


@every_embedder
async def test_embedding_formats_agree(async_openai: openai.AsyncOpenAI, model: str) -> None:
    floats = await async_openai.embeddings.create(model=model, input="one", encoding_format="float")
    packed = await async_openai.embeddings.create(model=model, input="one", encoding_format="base64")
    data = base64.b64decode(str(packed.data[0].embedding))  # the SDK unpacks only what it asked for itself
    assert struct.unpack(f"<{len(data) // 4}f", data) == pytest.approx(floats.data[0].embedding, abs=1e-6)


@pytest.mark.parametrize("model", EMBEDDERS[:2])
def test_dimensions(openai_client: openai.OpenAI, upstream: UpstreamServer, model: str) -> None:
    reply = openai_client.embeddings.create(model=model, input="one", dimensions=16)
    assert len(reply.data[0].embedding) == 16


def test_token_ids(openai_client: openai.OpenAI) -> None:
    reply = openai_client.embeddings.create(model="text-embedding-3-small", input=[[1, 2, 3], [4]])
    assert len(reply.data) == 2
    for model in EMBEDDERS[1:]:
        with pytest.raises(openai.BadRequestError) as refused:
            openai_client.embeddings.create(model=model, input=[[1, 2, 3]])
        assert (refused.value.param or "").startswith("input")


@every_embedder
def test_embedding_nothing(openai_client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.BadRequestError):
        openai_client.embeddings.create(model=model, input=[])


def test_claude_does_not_embed(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        openai_client.embeddings.create(model=CLAUDE, input="one")
    assert refused.value.code == "unsupported_parameter"


def test_chat_models_do_not_embed_offline(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        openai_client.embeddings.create(model=OFFLINE, input="one")
    with pytest.raises(openai.NotFoundError):
        openai_client.chat.completions.create(model=OFFLINE_EMBEDDING, messages=[{"role": "user", "content": "hi"}])


async def test_models(openai_client: openai.OpenAI, async_openai: openai.AsyncOpenAI) -> None:
    names = [model.id async for model in async_openai.models.list()]
    assert {OPENAI, CLAUDE, GEMINI, OFFLINE} <= set(names)
    assert names == sorted(set(names))
    assert openai_client.models.retrieve(CLAUDE).id == CLAUDE
    with pytest.raises(openai.NotFoundError):
        openai_client.models.retrieve("no-such-model")


def test_streamed_raw_replies(openai_client: openai.OpenAI) -> None:
    with openai_client.chat.completions.with_streaming_response.create(
        model=GEMINI, messages=[{"role": "user", "content": "hello"}], stream=True
    ) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert reply.headers["tenfold-provider"] == "gemini"
        lines = [line for line in reply.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    assert all(line.startswith("data: ") for line in lines)
