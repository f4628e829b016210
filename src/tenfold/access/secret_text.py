"""The written form of secrets: API keys with a checksum, session tokens, and their digests."""

import hashlib
import secrets
import string
import zlib

KEY_PREFIX = "tf_"
SHOWN_CHARS = 8  # of a key, so that its owner can tell it from another
MAX_SECRET_CHARS = 256

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BODY_CHARS = 43  # 62^43 > 2^256
_CHECKSUM_CHARS = 6  # 62^6 > 2^32


def new_api_key() -> str:
    """`tf_`, 256 random bits and their CRC-32, in base 62: a scanner can tell a leaked key from noise."""
    body = _base62(secrets.randbits(256), _BODY_CHARS)
    return KEY_PREFIX + body + _checksum(body)


def is_mistyped(secret: str) -> bool:
    """It has the shape of an API key made here, but not its checksum: no such key was ever given out."""
    if len(secret) != len(KEY_PREFIX) + _BODY_CHARS + _CHECKSUM_CHARS or not secret.startswith(KEY_PREFIX):
        return False
    body = secret[len(KEY_PREFIX) : -_CHECKSUM_CHARS]
    return not set(secret[len(KEY_PREFIX) :]) <= set(_ALPHABET) or secret[-_CHECKSUM_CHARS:] != _checksum(body)


def shown_prefix(secret: str) -> str:
    """The start of a key, enough to recognise it and useless to anyone else."""
    return secret[:SHOWN_CHARS]


def new_session_token() -> str:
    return secrets.token_urlsafe(32)


def digest_of(secret: str | bytes) -> bytes:
    """SHA-256. The secrets have 256 random bits, so a slow hash would add cost and no safety."""
    if isinstance(secret, str):
        secret = secret.encode("utf-8", "surrogatepass")
    return hashlib.sha256(secret).digest()


def _base62(number: int, width: int) -> str:
    digits: list[str] = []
    while number:
        number, rest = divmod(number, 62)
        digits.append(_ALPHABET[rest])
    return "".join(reversed(digits)).rjust(width, "0")


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode("utf-8", "surrogatepass")), _CHECKSUM_CHARS)
