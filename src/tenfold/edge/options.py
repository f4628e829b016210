"""The request headers of our own, and those of a vendor that travel on to an upstream of the same dialect."""

from collections.abc import Mapping

from tenfold.core.call import DEFAULT_OPTIONS, CallOptions
from tenfold.core.errors import InvalidRequest

_MAX_LABEL = 200
_CACHE_DIRECTIVES = frozenset({"no-store", "no-cache", "exact"})
_VENDOR_HEADERS = (b"anthropic-version", b"anthropic-beta", b"openai-beta")
_READ = frozenset(
    {
        b"tenfold-feature",
        b"tenfold-task",
        b"tenfold-user",
        b"tenfold-cache-control",
        b"traceparent",
        *_VENDOR_HEADERS,
    }
)


def read_options(headers: Mapping[bytes, bytes]) -> CallOptions:
    """Raises InvalidRequest for an option that cannot be meant."""
    if _READ.isdisjoint(headers):
        return DEFAULT_OPTIONS
    cache = _words(headers, b"tenfold-cache-control")
    unknown = cache - _CACHE_DIRECTIVES
    if unknown:
        raise InvalidRequest(
            f"Tenfold-Cache-Control: unknown {min(unknown)!r}; known: {', '.join(sorted(_CACHE_DIRECTIVES))}.",
            param="Tenfold-Cache-Control",
        )
    traceparent = headers.get(b"traceparent")
    return CallOptions(
        feature=_label(headers, b"tenfold-feature"),
        task=_label(headers, b"tenfold-task"),
        end_user=_label(headers, b"tenfold-user"),
        cache=cache,
        traceparent=None if traceparent is None else traceparent.decode("latin-1"),
        upstream_headers=tuple((name, headers[name]) for name in _VENDOR_HEADERS if name in headers),
    )


def _label(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    if not value:
        return None
    text = value.decode("utf-8", "replace")
    if len(text) > _MAX_LABEL or not text.isprintable():
        shown = name.decode()
        raise InvalidRequest(f"{shown} must be at most {_MAX_LABEL} printable characters.", param=shown)
    return text


def _words(headers: Mapping[bytes, bytes], name: bytes) -> frozenset[str]:
    value = headers.get(name)
    if not value:
        return frozenset()
    words = value.decode("latin-1").lower().split(",")
    return frozenset(word.strip() for word in words if word.strip())
