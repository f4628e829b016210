"""Signatures of webhooks after Standard Webhooks 1.0.0, which the OpenAI SDKs verify: https://www.standardwebhooks.com"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable

_PREFIX = "whsec_"
_KEY_BYTES = (24, 64)


def new_secret() -> str:
    """whsec_ and 32 random bytes in base64."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signing_key(secret: str) -> bytes:
    """The key behind `whsec_<base64>`. Raises ValueError."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    least, most = _KEY_BYTES
    if not secret.startswith(_PREFIX) or not least <= len(key) <= most:
        raise ValueError(
            f"a webhook secret is whsec_ and {least} to {most} random bytes in base64; "
            'make one with: echo "whsec_$(openssl rand -base64 32)"'
        )
    return key


def signature(key: bytes, event_id: str, at: int, body: bytes) -> str:
    """The value of `webhook-signature`: HMAC-SHA256 over `{id}.{timestamp}.{body}`."""
    digest = hmac.new(key, f"{event_id}.{at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def signed_headers(keys: Iterable[bytes], event_id: str, at: int, body: bytes) -> list[tuple[bytes, bytes]]:
    """The headers of a post at this time (Unix seconds), with a signature for each key."""
    return [
        (b"content-type", b"application/json"),
        (b"webhook-id", event_id.encode("ascii")),
        (b"webhook-timestamp", str(at).encode()),
        (b"webhook-signature", " ".join(signature(key, event_id, at, body) for key in keys).encode()),
    ]
