"""A form with a file in it (multipart/form-data, RFC 7578), read in pieces: the file's bytes go on as they come."""

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from tenfold.core.errors import InvalidRequest

_MAX_FIELDS = 16
_MAX_FIELD_BYTES = 1024
OVERHEAD_BYTES = 64 * 1024  # what a form has beside its file


class FileForm:
    """`feed` it the body; `fields` and `filename` are there once `ended`."""

    def __init__(self, content_type: bytes, file_field: str = "file") -> None:
        """Raises InvalidRequest."""
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise InvalidRequest("Send the file as multipart/form-data, with the fields `file` and `purpose`.")
        self.fields: dict[str, str] = {}
        self.filename: str | None = None  # None: there is no file
        self.ended = False
        self._file_field = file_field
        self._name = self._value = b""  # of the header under way
        self._disposition = b""
        self._field: str | None = None  # the part under way; None: the file
        self._text = b""
        self._file: list[bytes] = []
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begun,
                    "on_header_field": self._header_name,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_ended,
                    "on_headers_finished": self._headers_ended,
                    "on_part_data": self._data,
                    "on_part_end": self._part_ended,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise _broken() from error

    def feed(self, data: bytes) -> list[bytes]:
        """The bytes of the file that are in it. Raises InvalidRequest."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _broken() from error
        found, self._file = self._file, []
        return found

    # -- what the parser calls -------------------------------------------------------------------

    def _part_begun(self) -> None:
        self._disposition = self._text = b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ended(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def _headers_ended(self) -> None:
        kind, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if kind != b"form-data" or not name:
            raise _broken()
        if name == self._file_field:
            if self.filename is not None:
                raise InvalidRequest("There is more than one `file`: upload each in a request of its own.", param=name)
            self.filename = options.get(b"filename", b"").decode("utf-8", "replace")
            self._field = None
            return
        if name in self.fields or len(self.fields) >= _MAX_FIELDS:
            raise InvalidRequest(f"The field {name[:80]!r} is there twice, or there are too many.", param=name[:80])
        self._field = name

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._file.append(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > _MAX_FIELD_BYTES:
            raise InvalidRequest(f"The field {self._field[:80]!r} is too long.", param=self._field[:80])

    def _part_ended(self) -> None:
        if self._field is not None:
            self.fields[self._field] = self._text.decode("utf-8", "replace")

    def _end(self) -> None:
        self.ended = True


def _broken() -> InvalidRequest:
    return InvalidRequest("The body is not valid multipart/form-data.")
