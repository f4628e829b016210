"""What people and programs may write into a ticket. All raise InvalidRequest."""

import re

from tenfold.assistant.tickets.types import MAX_LABEL
from tenfold.core.errors import InvalidRequest

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")
_MAX_ADDRESS = 254


def a_label(text: str | None, param: str) -> str | None:
    if text is None:
        return None
    text = text.strip()
    if not text or len(text) > MAX_LABEL or not text.isprintable():
        raise InvalidRequest(f"{param}: 1 to {MAX_LABEL} printable characters.", param=param)
    return text


def a_text(text: str, most: int, param: str) -> str:
    text = text.replace("\x00", "").strip()
    if len(text) > most:
        raise InvalidRequest(f"{param} has at most {most} characters.", param=param)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidRequest(f"{param} is not valid text.", param=param) from None
    return text


def an_address(email: str | None) -> str | None:
    """One address, of ASCII, without a name: nothing of it can become another header or another receiver."""
    if email is None:
        return None
    if len(email) > _MAX_ADDRESS or not _ADDRESS.fullmatch(email):
        raise InvalidRequest("email is one address, such as ana@example.com.", param="email")
    return email
