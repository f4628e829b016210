"""The lines of a batch's input: cut out of the file as it is read, and checked. Pure."""

from collections.abc import AsyncIterator
from typing import Any

from msgspec import DecodeError, Raw, Struct, ValidationError, json

from tenfold.core.errors import InvalidRequest
from tenfold.core.json_guard import load_json
from tenfold.inference.batches.types import MAX_CUSTOM_ID, MAX_ERRORS, MAX_LINES, LineError

_MAX_MODEL = 200
_BOM = b"\xef\xbb\xbf"


class Line(Struct, frozen=True):
    number: int  # from 1
    text: bytes  # "" where it is too long


class Requested(Struct):
    """What a line asks for: its members that matter, and the body as the bytes it is."""

    custom_id: str
    body: Raw


_DECODER = json.Decoder(Requested)


def requested(text: bytes) -> Requested:
    """Of a line that was checked."""
    return _DECODER.decode(text)


async def lines_of(chunks: AsyncIterator[bytes], most_bytes: int) -> AsyncIterator[Line]:
    """Those that are not blank, however the file is cut into chunks."""
    number, held, too_long = 1, bytearray(), False
    async for chunk in chunks:
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            line = _line(number, held + chunk[start:end] if held else chunk[start:end], too_long, most_bytes)
            if line is not None:
                yield line
            held.clear()
            number, start, too_long = number + 1, end + 1, False
        held += chunk[start:]
        if len(held) > most_bytes:
            held.clear()
            too_long = True
    line = _line(number, held, too_long, most_bytes)
    if line is not None:
        yield line


def _line(number: int, text: bytes | bytearray, too_long: bool, most_bytes: int) -> Line | None:
    plain = bytes(text.strip(b" \t\r"))
    if number == 1:
        plain = plain.removeprefix(_BOM)
    if too_long or len(plain) > most_bytes:
        return Line(number, b"")
    return Line(number, plain) if plain else None


class Checker:
    """`see` all lines, then look at `errors`, `total` and `model`."""

    def __init__(self, endpoint: str, *, most_lines: int = MAX_LINES) -> None:
        self.errors: list[LineError] = []
        self.total = 0
        self._endpoint = endpoint
        self._most_lines = most_lines
        self._custom_ids: dict[str, int] = {}
        self._models: set[str] = set()

    @property
    def model(self) -> str | None:
        """The one of all lines, where there is one that may be a model's name."""
        model = next(iter(self._models)) if len(self._models) == 1 else None
        return None if model is None or len(model) > _MAX_MODEL or not model.isprintable() else model

    def see(self, line: Line) -> bool:
        """False: so much is wrong that nobody needs to see more."""
        self.total += 1
        if self.total > self._most_lines:
            self._wrong(line, "too_many_tasks", f"A batch has at most {self._most_lines} requests. Split the file.")
            return False
        try:
            self._check(line)
        except _Wrong as wrong:
            self._wrong(line, wrong.code, wrong.message, wrong.param)
        if len(self.errors) < MAX_ERRORS:
            return True
        self._wrong(line, "too_many_errors", f"The file has more errors than these {MAX_ERRORS}.")
        return False

    def end(self) -> None:
        if not self.total:
            message = "The input file is empty. Please ensure that the batch contains at least one request."
            self.errors.append(LineError(code="empty_file", message=message))

    def _wrong(self, line: Line, code: str, message: str, param: str | None = None) -> None:
        self.errors.append(LineError(code=code, message=message, param=param, line=line.number))

    def _check(self, line: Line) -> None:
        if not line.text:
            raise _Wrong("line_too_long", "This line is longer than a request may be.")
        try:
            asked = load_json(line.text)
        except InvalidRequest as error:
            told = error.message.removeprefix("The request body ")
            raise _Wrong("invalid_json_line", f"This line is not parseable as valid JSON: it {told}") from None
        if not isinstance(asked, dict):
            raise _Wrong("invalid_json_line", "This line is not a JSON object.")
        self._check_custom_id(asked.get("custom_id"), line.number)
        if asked.get("method") != "POST":
            raise _Wrong("invalid_method", "The method of a request is POST.", "method")
        if asked.get("url") != self._endpoint:
            raise _Wrong(
                "mismatched_url", f"The URL of this request is not the endpoint of the batch, {self._endpoint}.", "url"
            )
        self._check_body(asked.get("body"))

    def _check_custom_id(self, custom_id: Any, number: int) -> None:
        if not isinstance(custom_id, str) or not custom_id:
            raise _Wrong("missing_required_parameter", "Missing required parameter: 'custom_id'.", "custom_id")
        if len(custom_id) > MAX_CUSTOM_ID:
            raise _Wrong("invalid_custom_id", f"A custom_id has at most {MAX_CUSTOM_ID} characters.", "custom_id")
        first = self._custom_ids.setdefault(custom_id, number)
        if first != number:
            raise _Wrong(
                "duplicate_custom_id",
                f"The custom_id {custom_id[:80]!r} was used before, in line {first}.",
                "custom_id",
            )

    def _check_body(self, body: Any) -> None:
        if not isinstance(body, dict):
            raise _Wrong("missing_required_parameter", "Missing required parameter: 'body'.", "body")
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise _Wrong("missing_required_parameter", "Missing required parameter: 'body.model'.", "body.model")
        if len(self._models) < 2:
            self._models.add(model)


class _Wrong(Exception):
    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        self.code, self.message, self.param = code, message, param


class _Members(Struct):
    """What a body may ask for that only makes sense where somebody waits, or comes back."""

    stream: Any = None
    background: Any = None
    previous_response_id: Any = None
    conversation: Any = None


_MEMBERS = json.Decoder(_Members)


def not_in_a_batch(body: bytes) -> InvalidRequest | None:
    """Why a request cannot be one of a batch."""
    try:
        asked = _MEMBERS.decode(body)
    except (DecodeError, ValidationError):
        return None  # the one path tells it better
    for name in ("stream", "background", "previous_response_id", "conversation"):
        if getattr(asked, name) not in (None, False):
            return InvalidRequest(f"`{name}` cannot be used in a batch. Leave it away.", param=name)
    return None
