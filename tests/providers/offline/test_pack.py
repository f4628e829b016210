"""Weights are used when they are the pinned bytes, and not otherwise."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tenfold.core.errors import UpstreamUnavailable
from tenfold.providers.offline.embedder import OfflineEmbedder
from tenfold.providers.offline.granite import PACK_SHA256, installed_pack
from tenfold.providers.offline.pack import Pack, PackRefused


@pytest.fixture
def tampered(tmp_path: Path) -> Path:
    """The real file with one bit of one weight turned."""
    block = bytearray(installed_pack().read_bytes())
    block[-1000] ^= 1
    path = tmp_path / "tampered.hmsemb"
    path.write_bytes(block)
    return path


def test_the_installed_weights_are_the_pinned_ones() -> None:
    assert hashlib.sha256(installed_pack().read_bytes()).hexdigest() == PACK_SHA256


def test_one_changed_bit_is_refused(tampered: Path) -> None:
    with pytest.raises(PackRefused, match="sha256"):
        Pack.read(tampered)


async def test_the_embedder_says_why_it_cannot_work(tampered: Path) -> None:
    embedder = OfflineEmbedder(weights=tampered)
    try:
        with pytest.raises(UpstreamUnavailable, match="sha256 differs"):
            await embedder.embed(["hello"])
        with pytest.raises(UpstreamUnavailable, match="sha256 differs"):
            await embedder.embed(["again"])
    finally:
        await embedder.aclose()


async def test_a_missing_file_is_told(tmp_path: Path) -> None:
    embedder = OfflineEmbedder(weights=tmp_path / "absent")
    try:
        with pytest.raises(UpstreamUnavailable, match="No such file"):
            await embedder.embed(["hello"])
    finally:
        await embedder.aclose()


def test_another_container_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(b"SAFETENS" + bytes(100))
    with pytest.raises(PackRefused, match="HMSEMB01"):
        Pack.read(path, hashlib.sha256(path.read_bytes()).hexdigest())


def test_tensors_have_the_shapes_of_the_model() -> None:
    pack = Pack.read(installed_pack())
    assert pack.quantised("word_emb").rows([0, 50264]).shape == (2, 384)
    assert pack.matrix("l5.f2.w").shape == (384, 1536)
    assert pack.vector("pos_emb").shape == (514, 384)
    assert np.isfinite(pack.matrix("l0.qkv.w")).all()
    with pytest.raises(PackRefused):
        pack.vector("word_emb")
