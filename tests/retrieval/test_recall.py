"""The vector leg is exact: among other tenants' vectors in the same partitions, and under a filter, it finds what all
cosines worked out in memory find.
"""

from uuid import UUID

import numpy as np
import pytest

from tenfold.core.ids import TenantId, uuid7
from tenfold.retrieval import queries
from tenfold.store import Store

DIMENSIONS = 384
VECTORS = 1_500
PUT = """
INSERT INTO chunk_vectors (tenant_id, kb_id, number, embedding)
SELECT $1, $2, * FROM unnest($3::bigint[], $4::text[]::halfvec[])
"""


def vectors(seed: int, count: int) -> np.ndarray:
    """Close together, as those of the bundled model are."""
    dice = np.random.default_rng(seed)
    made = dice.normal(size=(count, DIMENSIONS)) + 2 * dice.normal(size=DIMENSIONS)
    lengths = np.linalg.norm(made, axis=1, keepdims=True)
    return np.asarray(made / lengths, np.float32)


async def put(store: Store, tenant: TenantId, base: UUID, made: np.ndarray) -> None:
    async with store.tenant(tenant) as tx:
        written = [f"[{','.join(format(value, '.7g') for value in vector)}]" for vector in made.tolist()]
        await tx.execute(PUT, tenant, base, list(range(len(made))), written)


@pytest.mark.parametrize("depth", [10, 100])
async def test_recall_of_a_tenants_vectors(store: Store, tenant: TenantId, other_tenant: TenantId, depth: int) -> None:
    base = uuid7()
    mine, theirs, asked = vectors(1, VECTORS), vectors(1, VECTORS)[::-1], vectors(2, 12)
    await put(store, tenant, base, mine)
    await put(store, other_tenant, base, theirs)  # the same set id and numbers, other vectors
    statement = queries.SEARCH_VECTORS.format(allowed="", among="true")
    tenth = queries.SEARCH_VECTORS.format(allowed="", among="number % 10 = 0")
    shares = []
    async with store.tenant(tenant, readonly=True) as tx:
        for vector in asked:
            for sql, among in ((statement, np.arange(VECTORS)), (tenth, np.arange(0, VECTORS, 10))):
                found = {row["number"] for row in await tx.fetch(sql, tenant, base, vector.tolist(), depth)}
                exact = among[np.argsort(-(mine[among] @ vector), kind="stable")[:depth]]
                shares.append(len(found.intersection(exact.tolist())) / depth)
    assert sum(shares) / len(shares) >= 0.99
