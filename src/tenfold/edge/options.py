"""The request headers of our own, and those of a vendor that travel on to an upstream of the same dialect."""

import re
from collections.abc import Mapping

from tenfold.cache.grounds import named_by_caller
from tenfold.core.call import DEFAULT_OPTIONS, CallOptions, Grounds
from tenfold.core.errors import InvalidRequest
from tenfold.core.money import parse_usd

_MAX_LABEL = 200
_STANDARD_DIRECTIVES = frozenset({"no-store", "no-cache"})  # of Cache-Control (RFC 9111, section 5.2.1)
_CACHE_DIRECTIVES = _STANDARD_DIRECTIVES | {"exact", "semantic"}
_MOST_DOCUMENTS = 100
_EXPLAIN_BUDGET = "budget"
_EXPLAINS = frozenset({_EXPLAIN_BUDGET, "route", "cache"})
_MOST_DEADLINE_MS = 3_600_000
_MOST_WAIT_S = 60.0
_IDEMPOTENCY_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_DECIMAL = re.compile(r"[0-9]{1,10}(\.[0-9]{1,10})?")
_RETRY_COUNT = b"x-stainless-retry-count"  # the vendors' SDKs count their own retries there, from 0
_RETRIED = CallOptions(client_retry=True)
_VENDOR_HEADERS = (b"anthropic-version", b"anthropic-beta", b"openai-beta")
_READ = frozenset(
    {
        b"tenfold-feature",
        b"tenfold-task",
        b"tenfold-user",
        b"tenfold-run",
        b"tenfold-max-cost-usd",
        b"tenfold-approve-cost-usd",
        b"cache-control",
        b"tenfold-cache-control",
        b"tenfold-documents",
        b"tenfold-explain",
        b"tenfold-deadline-ms",
        b"idempotency-key",
        b"prefer",
        b"traceparent",
        *_VENDOR_HEADERS,
    }
)


def read_options(headers: Mapping[bytes, bytes]) -> CallOptions:
    """Raises InvalidRequest for an option that cannot be meant."""
    if _READ.isdisjoint(headers):
        return DEFAULT_OPTIONS if headers.get(_RETRY_COUNT, b"0") == b"0" else _RETRIED
    respond_async, wait_s = _prefer(headers.get(b"prefer"))
    explain = _words(headers.get(b"tenfold-explain"), "Tenfold-Explain", _EXPLAINS)
    cache, max_age_s, max_false_hits = _cache_control(headers)
    traceparent = headers.get(b"traceparent")
    return CallOptions(
        feature=_label(headers, b"tenfold-feature"),
        task=_label(headers, b"tenfold-task"),
        end_user=_label(headers, b"tenfold-user"),
        run=_label(headers, b"tenfold-run"),
        max_cost_nano=_amount(headers, b"tenfold-max-cost-usd", "Tenfold-Max-Cost-Usd"),
        approved_cost_nano=_amount(headers, b"tenfold-approve-cost-usd", "Tenfold-Approve-Cost-Usd"),
        idempotency_key=_idempotency_key(headers),
        deadline_ms=_deadline_ms(headers),
        respond_async=respond_async,
        wait_s=wait_s,
        client_retry=headers.get(_RETRY_COUNT, b"0") != b"0",
        tell_budget=_EXPLAIN_BUDGET in explain,
        cache=cache,
        max_age_s=max_age_s,
        max_false_hits=max_false_hits,
        grounds=_documents(headers.get(b"tenfold-documents")),
        explain=explain,
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


def _amount(headers: Mapping[bytes, bytes], name: bytes, shown: str) -> int | None:
    """10^-9 USD. An empty header is a mistake, too: whoever sent it believes in a ceiling."""
    value = headers.get(name)
    if value is None:
        return None
    try:
        return parse_usd(value.decode("latin-1"))
    except ValueError as error:
        raise InvalidRequest(f"{shown}: {error}.", param=shown) from None


def _deadline_ms(headers: Mapping[bytes, bytes]) -> int | None:
    value = headers.get(b"tenfold-deadline-ms")
    if value is None:
        return None
    if not value.isdigit() or len(value) > 10 or not 1 <= int(value) <= _MOST_DEADLINE_MS:
        raise InvalidRequest(
            f"Tenfold-Deadline-Ms is a whole number of milliseconds from 1 to {_MOST_DEADLINE_MS}.",
            param="Tenfold-Deadline-Ms",
        )
    return int(value)


def _prefer(value: bytes | None) -> tuple[bool, float]:
    """Whether it may be answered later, and how many seconds the client would wait (RFC 7240). Preferences that nobody
    here knows, and those that cannot be read, are passed over, as the RFC has it."""
    wishes = {} if value is None else dict(_wish(part) for part in value.decode("latin-1").lower().split(","))
    wait = wishes.get("wait", "")
    return "respond-async" in wishes, min(float(wait), _MOST_WAIT_S) if wait.isascii() and wait.isdigit() else 0.0


def _wish(part: str) -> tuple[str, str]:
    name, _, value = part.partition(";")[0].partition("=")
    return name.strip(), value.strip().strip('"')


def _idempotency_key(headers: Mapping[bytes, bytes]) -> str | None:
    value = headers.get(b"idempotency-key")
    if value is None:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(value):
        raise InvalidRequest(
            "Idempotency-Key must be 1 to 255 visible ASCII characters without blanks, such as a UUID.",
            param="Idempotency-Key",
        )
    return value.decode("ascii")


def _cache_control(headers: Mapping[bytes, bytes]) -> tuple[frozenset[str], float | None, float | None]:
    """What of caches may answer, how many seconds old its answer may be, and the bound on false hits. Of the standard
    header what no cache of answers can heed is passed over; our own is to be meant."""
    words, values = set(), {}
    for directive in headers.get(b"cache-control", b"").decode("latin-1").lower().split(","):
        name, value = _wish(directive)
        if name in _STANDARD_DIRECTIVES:
            words.add(name)
        elif name == "max-age" and value.isascii() and value.isdigit():
            values[name] = float(value)
    shown = "Tenfold-Cache-Control"
    own = headers.get(b"tenfold-cache-control", b"").decode("latin-1").split(",")
    for name, highest in (("max-age", float("inf")), ("max-false-hits", 1.0)):
        for directive in [directive for directive in own if "=" in directive and _wish(directive)[0].lower() == name]:
            own.remove(directive)
            values[name] = _number(_wish(directive)[1], highest, f"{shown}: {name}", shown)
    words |= _words(",".join(own).encode("latin-1"), shown, _CACHE_DIRECTIVES)
    if values.get("max-age") == 0:
        words.add("no-cache")
    return frozenset(words), values.get("max-age"), values.get("max-false-hits")


def _number(text: str, highest: float, what: str, param: str) -> float:
    if not _DECIMAL.fullmatch(text) or float(text) > highest:
        most = "" if highest == float("inf") else f" to {highest:g}"
        raise InvalidRequest(f"{what} is a number from 0{most}.", param=param)
    return float(text)


def _documents(value: bytes | None) -> Grounds | None:
    """The documents that a body quotes, each as name@version. Names are the client's own."""
    if value is None:
        return None
    shown = "Tenfold-Documents"
    named = {name.strip() for name in value.decode("utf-8", "replace").split(",") if name.strip()}
    if len(named) > _MOST_DOCUMENTS:
        raise InvalidRequest(f"{shown} names at most {_MOST_DOCUMENTS} documents.", param=shown)
    documents = set()
    for name in named:
        document = named_by_caller(name)
        if not document.name or not document.version or len(name) > _MAX_LABEL or not name.isprintable():
            raise InvalidRequest(
                f"{shown} is a list of name@version, each of at most {_MAX_LABEL} printable characters: {name[:40]!r}.",
                param=shown,
            )
        documents.add(str(document))
    return Grounds(documents=frozenset(documents)) if documents else None


def _words(value: bytes | None, shown: str, known: frozenset[str]) -> frozenset[str]:
    if not value:
        return frozenset()
    words = frozenset(word.strip() for word in value.decode("latin-1").lower().split(",") if word.strip())
    unknown = words - known
    if unknown:
        raise InvalidRequest(f"{shown}: unknown {min(unknown)!r}; known: {', '.join(sorted(known))}.", param=shown)
    return words
