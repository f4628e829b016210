"""A form cut anywhere says the same, and bytes that are none are refused in words."""

from contextlib import suppress
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import InvalidRequest
from tenfold.edge.files.form import FileForm
from tests.edge.files.test_files_resource import BOUNDARY, form

KIND = f'multipart/form-data; boundary="{BOUNDARY}"'.encode()
PARTS = st.sampled_from(
    [
        f"--{BOUNDARY}\r\n".encode(),
        f"--{BOUNDARY}--".encode(),
        b"\r\n",
        b"\r\n\r\n",
        b"Content-Disposition: form-data",
        b'; name="file"',
        b'; name="purpose"',
        b'; filename="a"',
        b'; filename="\xff',
        b"Content-Disposition",
        b": ",
        b"x" * 3000,
        b"\0",
        b"\n",
        b"--",
    ]
)


@given(st.lists(st.integers(0, 400), max_size=10), st.binary(max_size=200))
def test_where_a_form_is_cut_makes_no_difference(cuts: list[int], content: bytes) -> None:
    body = form(content, purpose="batch")
    read = FileForm(KIND)
    edges = sorted({0, len(body), *(at for at in cuts if at < len(body))})
    found = b"".join(data for start, end in pairwise(edges) for data in read.feed(body[start:end]))
    if f"\r\n--{BOUNDARY}".encode() not in content:
        assert (found, read.fields, read.filename, read.ended) == (content, {"purpose": "batch"}, "in.jsonl", True)


@given(st.lists(PARTS | st.binary(max_size=8), max_size=30))
def test_any_bytes_are_a_form_or_refused(pieces: list[bytes]) -> None:
    read = FileForm(KIND)
    with suppress(InvalidRequest):
        for piece in pieces:
            read.feed(piece)


@given(st.binary(max_size=60))
def test_any_content_type_is_one_or_refused(kind: bytes) -> None:
    for each in (kind, b"multipart/form-data;" + kind, b"multipart/form-data; boundary=" + kind):
        with suppress(InvalidRequest):
            FileForm(each)
