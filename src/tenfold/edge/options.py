"""The request headers of our own, and those of a vendor that travel on to an upstream of the same dialect."""

from typing import Protocol

from tenfold.core.call import DEFAULT_OPTIONS, CallOptions
from tenfold.core.errors import InvalidRequest

_MAX_LABEL = 200
_CACHE_DIRECTIVES = frozenset({"no-store", "no-cache", "exact"})
_VENDOR_HEADERS = ("anthropic-version", "anthropic-beta", "openai-beta")


class RequestHeaders(Protocol):
    def get(self, key: str, default: str | None = None) -> str | None: ...

    def keys(self) -> list[str]: ...


def read_options(headers: RequestHeaders) -> CallOptions:
    """Raises InvalidRequest for an option that cannot be meant."""
    names = [name for name in headers.keys() if name.startswith(("tenfold-", "anthropic-", "openai-b", "traceparent"))]  # noqa: SIM118
    if not names:
        return DEFAULT_OPTIONS
    cache = _words(headers, "tenfold-cache-control")
    unknown = cache - _CACHE_DIRECTIVES
    if unknown:
        raise InvalidRequest(
            f"Tenfold-Cache-Control: unknown {min(unknown)!r}; known: {', '.join(sorted(_CACHE_DIRECTIVES))}.",
            param="Tenfold-Cache-Control",
        )
    return CallOptions(
        feature=_label(headers, "tenfold-feature"),
        task=_label(headers, "tenfold-task"),
        end_user=_label(headers, "tenfold-user"),
        cache=cache,
        traceparent=headers.get("traceparent"),
        upstream_headers=tuple(
            (name.encode(), (headers.get(name) or "").encode("latin-1", "ignore"))
            for name in _VENDOR_HEADERS
            if name in names
        ),
    )


def _label(headers: RequestHeaders, name: str) -> str | None:
    value = headers.get(name)
    if not value:
        return None
    if len(value) > _MAX_LABEL or not value.isprintable():
        raise InvalidRequest(f"{name} must be at most {_MAX_LABEL} printable characters.", param=name)
    return value


def _words(headers: RequestHeaders, name: str) -> frozenset[str]:
    value = headers.get(name)
    if not value:
        return frozenset()
    return frozenset(word.strip().lower() for word in value.split(",") if word.strip())
