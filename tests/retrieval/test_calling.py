"""An embedder behind the one path of a call: who is charged, what comes back, and what is wrong with it."""

from array import array
from base64 import b64encode
from collections.abc import Callable
from math import hypot
from typing import Any

import pytest
from msgspec import json

from tenfold.core.call import Call
from tenfold.core.errors import BudgetExceeded, UpstreamTimeout, UpstreamUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.edge.dialects.openai.dialect import OpenAIDialect
from tenfold.inference.background import Recorder
from tenfold.inference.ports import ClientDialect
from tenfold.retrieval.calling import CalledEmbedder, Models
from tenfold.retrieval.embedders import ConfiguredEmbedders
from tenfold.retrieval.fake import FakeEmbedder

ONE, OTHER = TenantId(uuid7()), TenantId(uuid7())


class Path:
    """In the pipeline's place: `answer` makes the reply's body of the texts, or raises the call's error."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answer: Callable[[list[str]], bytes] = lambda texts: reply([vector(text) for text in texts])

    async def serve(self, call: Call, dialect: ClientDialect, responder: Recorder) -> None:
        body = json.decode(call.body)
        self.asked.append((call.principal.tenant_slug, body))
        assert (call.operation, call.dialect, call.options.feature) == ("embeddings", "openai", "retrieval")
        try:
            responder.whole(200, "", self.answer(body["input"]))
        except (BudgetExceeded, UpstreamTimeout) as error:
            call.error = error
            responder.whole(error.status, "", b"{}")


def vector(text: str) -> list[float]:
    """Not of length 1; longer texts point elsewhere."""
    return [3.0, float(len(text)), 1.0]


def reply(vectors: list[list[float]]) -> bytes:
    data = [
        {"object": "embedding", "index": place, "embedding": b64encode(array("f", floats).tobytes()).decode()}
        for place, floats in enumerate(vectors)
    ]
    return json.encode({"object": "list", "model": "m", "data": data[::-1], "usage": {"prompt_tokens": 1}})


@pytest.fixture
def path() -> Path:
    return Path()


@pytest.fixture
def models(path: Path) -> Models:
    async def principal(tenant_id: TenantId) -> Principal:
        return Principal(tenant_id=tenant_id, tenant_slug={ONE: "one", OTHER: "other"}[tenant_id])

    return Models(path, OpenAIDialect(), principal)


async def test_texts_are_embedded_at_the_expense_of_their_tenant(models: Models, path: Path) -> None:
    texts = ["a", "bb", "ccc"]
    for tenant_id, slug in ((ONE, "one"), (OTHER, "other")):
        embedder = CalledEmbedder(models, tenant_id, "text-embedding-3-small")
        path.asked.clear()
        vectors = await embedder.embed(texts)
        assert {asked for asked, _ in path.asked} == {slug}
        assert path.asked[-1][1] == {"model": "text-embedding-3-small", "input": texts, "encoding_format": "base64"}
    assert [hypot(*each) for each in vectors] == pytest.approx([1, 1, 1])
    assert [each[1] / each[0] * 3 for each in vectors] == pytest.approx([1, 2, 3])  # in their order
    assert embedder.dimensions == 3
    assert embedder.fingerprint == "model:text-embedding-3-small"


async def test_what_unrelated_texts_have_in_common_is_measured_once(models: Models, path: Path) -> None:
    embedder = CalledEmbedder(models, ONE, "m")
    assert embedder.unrelated_cosine == 0
    await embedder.embed(["a"])
    assert len(path.asked) == 2
    await CalledEmbedder(models, OTHER, "m").embed_passages(["a"])
    assert len(path.asked) == 3
    assert 0.9 < embedder.unrelated_cosine <= 0.95  # this one puts everything close together


async def test_many_texts_are_several_calls(models: Models, path: Path) -> None:
    await models.embed(ONE, "m", ["text"] * 150)
    assert [len(body["input"]) for _, body in path.asked] == [64, 64, 22]


async def test_what_goes_wrong_is_an_error_of_the_upstream(models: Models, path: Path) -> None:
    """So that searches go by words alone."""

    def refused(_texts: list[str]) -> bytes:
        raise BudgetExceeded("The budget of the month is spent.")

    path.answer = refused
    with pytest.raises(UpstreamUnavailable, match=r"not embedded\. The budget of the month is spent"):
        await CalledEmbedder(models, ONE, "m").embed(["a"])

    def late(_texts: list[str]) -> bytes:
        raise UpstreamTimeout("late")

    path.answer = late
    with pytest.raises(UpstreamTimeout):
        await CalledEmbedder(models, ONE, "m").embed(["a"])


@pytest.mark.parametrize(
    "body",
    [
        b"no JSON",
        b"{}",
        reply([]),
        reply([[1.0, 2.0]] * 7 + [[1.0]]),
        reply([[0.0, 0.0]] * 8),
        b'{"data": [{"index": 0, "embedding": "!"}]}',
        b'{"data": [{"index": 0, "embedding": [0.5]}]}',
    ],
    ids=["no JSON", "no data", "too few", "two lengths", "no direction", "no base64", "floats"],
)
async def test_what_is_no_list_of_embeddings_is_told(models: Models, path: Path, body: bytes) -> None:
    path.answer = lambda _texts: body
    with pytest.raises(UpstreamUnavailable, match="'m'"):
        await CalledEmbedder(models, ONE, "m").embed(["a"])


async def test_the_embedder_of_a_set_is_found_by_its_fingerprint(models: Models) -> None:
    offline = FakeEmbedder()
    by_offline = ConfiguredEmbedders(offline, models, None)
    assert by_offline.wanted(ONE) is by_offline.named(ONE, offline.fingerprint) is offline
    assert by_offline.fingerprint == offline.fingerprint
    by_model = ConfiguredEmbedders(offline, models, "m")
    wanted = by_model.wanted(ONE)
    assert wanted is not None and wanted.fingerprint == by_model.fingerprint == "model:m"
    assert by_model.named(ONE, offline.fingerprint) is offline
    for embedders in (by_offline, by_model):
        found = embedders.named(OTHER, "model:other")
        assert found is not None and found.fingerprint == "model:other"
        assert embedders.named(ONE, "fake:gone") is None
        assert embedders.named(ONE, None) is None
