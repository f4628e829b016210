"""The real embedding model: once for the module in this process, or for one test in a child."""

from collections.abc import AsyncIterator

import pytest

from tenfold.providers.offline.embedder import OfflineEmbedder
from tenfold.providers.offline.encoder import Encoder
from tenfold.providers.offline.granite import installed_pack


@pytest.fixture(scope="package")
def encoder() -> Encoder:
    return Encoder(installed_pack())


@pytest.fixture
async def embedder() -> AsyncIterator[OfflineEmbedder]:
    embedder = OfflineEmbedder()
    yield embedder
    await embedder.aclose()
