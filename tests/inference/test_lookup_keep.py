"""Keeping a stream for the cache: as much as an answer may hold, and no more."""

from tenfold.cache.exact import ExactCache
from tenfold.inference.lookup import Lookup


def test_a_stream_larger_than_an_answer_may_be_is_let_go() -> None:
    lookup = Lookup(ExactCache(max_bytes=1 << 20, max_entry_bytes=1000, ttl_s=60), "always")
    kept: list[bytes] | None = []
    for _ in range(200):
        if kept is not None:
            kept = lookup.keep(kept, b"x" * 10)
    assert kept is None


def test_a_small_stream_is_kept_whole() -> None:
    lookup = Lookup(ExactCache(max_bytes=1 << 20, max_entry_bytes=10_000, ttl_s=60), "always")
    kept: list[bytes] | None = []
    for _ in range(200):
        assert kept is not None
        kept = lookup.keep(kept, b"x" * 10)
    assert kept is not None
    assert len(b"".join(kept)) == 2000
