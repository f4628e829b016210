"""The guarded child process: one contract with its twin, and what a file may do to it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import Overloaded
from tenfold.retrieval.extract.extractor import Extractor
from tenfold.retrieval.extract.fake import FakeExtractor
from tenfold.retrieval.extract.ports import FileExtractor
from tenfold.retrieval.extract.types import Extracted, Limits, UnreadableFile
from tests.retrieval.extract.files import docx, paragraph, pdf

SLOW = b"<html>" + b"<p>x</p>" * 40_000  # some seconds of computing
MB = 1024 * 1024


@pytest.fixture
async def extractor() -> AsyncIterator[Extractor]:
    made = Extractor()
    yield made
    await made.aclose()


@pytest.fixture(params=["real", "fake"])
async def either(request: pytest.FixtureRequest) -> AsyncIterator[FileExtractor]:
    if request.param == "fake":
        yield FakeExtractor()
        return
    real = Extractor()
    yield real
    await real.aclose()


async def refusal(extractor: FileExtractor, data: bytes, name: str = "a.txt") -> UnreadableFile:
    with pytest.raises(UnreadableFile) as refused:
        await extractor.extract(data, filename=name)
    return refused.value


async def test_text_comes_back_and_what_is_none_does_not(either: FileExtractor) -> None:
    text = "# Title\n\nCafé.\n"
    assert await either.extract(text.encode(), filename="a.md") == Extracted(text=text)
    assert (await refusal(either, b"")).fault == "invalid_file"
    assert (await refusal(either, b" \n")).fault == "invalid_file"
    assert (await refusal(either, b"\x00\x01\x02\x03" * 50)).fault == "unsupported_file"


async def test_one_child_reads_one_file_after_the_other(extractor: Extractor) -> None:
    assert extractor.child_pids == []
    found = await asyncio.gather(*(extractor.extract(b"%d" % number, filename="a.txt") for number in range(20)))
    assert [one.text for one in found] == [str(number) for number in range(20)]
    await refusal(extractor, b"PK\x03\x04")
    assert (await extractor.extract(pdf([[(10, "Hi")]]), filename="x")).pages == (0,)
    assert len(extractor.child_pids) == 1


async def test_a_name_may_be_anything(extractor: Extractor) -> None:
    for name in ("\ud800.txt", "x" * 100_000, "../../etc/passwd", "", "\x00"):
        assert (await extractor.extract(b"hi", filename=name, content_type="\ud800")).text == "hi"


async def test_the_child_knows_no_secret(extractor: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    await extractor.extract(b"hi", filename="a.txt")
    [pid] = extractor.child_pids
    assert b"very-secret" not in Path(f"/proc/{pid}/environ").read_bytes()
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert f"Max address space         {1024 * MB}" in limits
    assert "Max file size             0 " in limits
    assert "Max core file size        0 " in limits


async def test_a_file_that_computes_too_long_ends_its_child_only() -> None:
    extractor = Extractor(limits=Limits(cpu_s=0))
    try:
        assert "of computing" in (await refusal(extractor, SLOW, "a.html")).message
        assert (await extractor.extract(b"next", filename="a.txt")).text == "next"
    finally:
        await extractor.aclose()


async def test_a_file_that_takes_too_much_memory_is_refused() -> None:
    extractor = Extractor(limits=Limits(memory_bytes=128 * MB))
    try:
        assert "memory" in (await refusal(extractor, "頁".encode() * 16 * MB)).message
        assert (await extractor.extract(b"next", filename="a.txt")).text == "next"
    finally:
        await extractor.aclose()


async def test_a_large_file_is_refused_before_anything_is_started(extractor: Extractor) -> None:
    assert "64 MB" in (await refusal(extractor, bytes(100 * MB))).message
    assert extractor.child_pids == []


async def test_a_child_that_hangs_is_killed() -> None:
    extractor = Extractor(limits=Limits(wall_s=2.0))
    try:
        pid = await _stopped(extractor)
        assert "in 2 s" in (await refusal(extractor, b"hi")).message
        assert pid not in extractor.child_pids
    finally:
        await extractor.aclose()


async def test_a_child_that_something_else_killed_is_replaced(extractor: Extractor) -> None:
    pid = await _stopped(extractor)
    reading = asyncio.create_task(extractor.extract(b"hi", filename="a.txt"))
    await asyncio.sleep(0)  # it has begun
    os.kill(pid, signal.SIGKILL)
    assert (await reading).text == "hi"


async def test_a_child_that_crashes_costs_its_file_only(extractor: Extractor) -> None:
    pid = await _stopped(extractor)
    reading = asyncio.create_task(extractor.extract(b"hi", filename="a.txt"))
    await asyncio.sleep(0)  # it has begun
    os.kill(pid, signal.SIGSEGV)
    os.kill(pid, signal.SIGCONT)
    with pytest.raises(UnreadableFile, match="ended the process"):
        await reading
    assert (await extractor.extract(b"next", filename="a.txt")).text == "next"


async def test_who_gives_up_leaves_no_child_with_half_a_file(extractor: Extractor) -> None:
    pid = await _stopped(extractor)
    reading = asyncio.create_task(extractor.extract(b"x" * 10 * MB, filename="a.txt"))
    await asyncio.sleep(0)  # it has begun
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    assert pid not in extractor.child_pids
    assert (await extractor.extract(b"next", filename="a.txt")).text == "next"


async def test_a_child_without_work_goes(extractor: Extractor) -> None:
    idle = Extractor(idle_s=0.01)
    await idle.extract(b"hi", filename="a.txt")
    while idle.child_pids:
        await asyncio.sleep(0.01)
    assert (await idle.extract(b"again", filename="a.txt")).text == "again"
    await idle.aclose()


async def test_a_closed_one_says_so_also_to_who_waits(extractor: Extractor) -> None:
    await _stopped(extractor)
    reading = asyncio.create_task(extractor.extract(b"hi", filename="a.txt"))
    await asyncio.sleep(0)  # it has begun
    await extractor.aclose()
    for asked in (reading, extractor.extract(b"hi", filename="a.txt")):
        with pytest.raises(Overloaded):
            await asked
    assert extractor.child_pids == []


async def _stopped(extractor: Extractor) -> int:
    """A child that is warm and does nothing."""
    await extractor.extract(b"warm", filename="a.txt")
    [pid] = extractor.child_pids
    os.kill(pid, signal.SIGSTOP)
    return pid


# -- anything at all -----------------------------------------------------------------------------

SEEDS = (
    pdf([[(20, "Head"), (10, "Some text of a page.")], [(10, "More.")]]),
    docx(paragraph("Head", "Heading1") + paragraph("Some text.")),
    b"<html><head><meta charset=utf-8><title>T</title></head><body><h1>A</h1><ol><li>x</ol><table><tr><td>1</table>",
    b'a,b\n1,"2\n3"\n',
)
cut = st.tuples(st.integers(0, 3_000), st.binary(max_size=12), st.integers(0, 40))
names = st.sampled_from(["a.pdf", "a.docx", "a.html", "a.csv", "a.json", "a.py", "a.md", ""])


@st.composite
def files(draw: st.DrawFn) -> bytes:
    data = draw(st.sampled_from(SEEDS) | st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
    for place, put, gone in draw(st.lists(cut, max_size=4)):
        at = place % (len(data) + 1)
        data = data[:at] + put + data[at + gone :]
    return data


async def test_whatever_comes_is_read_or_refused(extractor: Extractor) -> None:
    async def one(data: bytes, name: str) -> None:
        try:
            found = await extractor.extract(data, filename=name)
        except UnreadableFile as refused:
            assert refused.fault in ("invalid_file", "unsupported_file")
            assert refused.message.endswith(".")
            return
        assert found.text.strip()
        found.text.encode()
        assert not any(ord(sign) < 32 and sign not in "\n\t" for sign in found.text)
        assert list(found.pages) == sorted(found.pages)
        assert all(0 <= page <= len(found.text) for page in found.pages)

    asked: list[tuple[bytes, str]] = []

    @settings(max_examples=100, deadline=None, database=None, derandomize=True)
    @given(data=files(), name=names)
    def collect(data: bytes, name: str) -> None:
        asked.append((data, name))

    collect()
    for data, name in asked:
        await one(data, name)
    assert len(extractor.child_pids) <= 1
