"""A provider for OpenFeature's Python SDK: flags of Tenfold in any service, over OFREP.

For your own services: it needs `tenfold[openfeature]` and nothing of a running Tenfold but its address and a key. No
part of the server imports it. It refuses to evaluate anything itself: all flags of a context are asked for at once,
kept for a moment, and confirmed by their ETag.
"""

import asyncio
import json
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import (
    ErrorCode,
    FlagNotFoundError,
    GeneralError,
    InvalidContextError,
    OpenFeatureError,
    ProviderFatalError,
    ProviderNotReadyError,
    TypeMismatchError,
)
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata

logger = logging.getLogger(__name__)

PATH = "/ofrep/v1/evaluate/flags"
MAX_AGE_S = 0.3
"""A change is on every process of Tenfold within half a second or so: with this, it is seen within a second."""
MAX_CONTEXTS = 1_000
REST_S = 1.0
"""After Tenfold could not be reached, nobody tries for so long: one evaluation in a second waits for the timeout."""
MAX_REPLY_BYTES = 16 * 1024 * 1024

Objects = Sequence[FlagValueType] | Mapping[str, FlagValueType]
T = TypeVar("T")


class _Answers:
    """The flags of one context, as they were told last."""

    __slots__ = ("etag", "flags", "lock", "seen_s", "stale")

    def __init__(self) -> None:
        self.lock = threading.Lock()  # one of several that want them anew asks
        self.flags: dict[str, dict[str, Any]] | None = None
        self.etag: str | None = None
        self.seen_s = float("-inf")
        self.stale = False


class TenfoldProvider(AbstractProvider):
    """`api.set_provider(TenfoldProvider("https://tenfold.example", key))`. The key has the scope `inference` or
    `flags`; the tenant of the key is the `tenant` of every context.

    While Tenfold cannot be reached, what it said last of a context goes on, with the reason STALE; for a context it
    never spoke of, the code's own default holds. Methods may be called by any thread."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout_s: float = 2.0,
        max_age_s: float = MAX_AGE_S,
        max_contexts: int = MAX_CONTEXTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ValueError for an address that is none."""
        super().__init__()
        self._wire = _Wire(base_url, api_key, timeout_s)
        self._max_age_s = max_age_s
        self._max_contexts = max_contexts
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Answers] = OrderedDict()  # the one used last at the end
        self._rest_until_s = float("-inf")

    def get_metadata(self) -> Metadata:
        return Metadata(name="Tenfold")

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Asks once, so that a wrong address or key is found at the start. Raises ProviderFatalError (the key is
        refused), ProviderNotReadyError (Tenfold cannot be reached)."""
        try:
            self._ask(_body(evaluation_context), None)
        except ProviderFatalError:
            raise
        except OpenFeatureError as error:
            raise ProviderNotReadyError(error.error_message) from error

    def shutdown(self) -> None:
        self._wire.close()

    # -- what the SDK asks -------------------------------------------------------------------

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        return self._resolve(flag_key, evaluation_context, _boolean)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        return self._resolve(flag_key, evaluation_context, _string)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        return self._resolve(flag_key, evaluation_context, _integer)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        return self._resolve(flag_key, evaluation_context, _float)

    def resolve_object_details(
        self, flag_key: str, default_value: Objects, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[Objects]:
        return self._resolve(flag_key, evaluation_context, _object)

    async def resolve_boolean_details_async(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        return await self._resolve_async(flag_key, evaluation_context, _boolean)

    async def resolve_string_details_async(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        return await self._resolve_async(flag_key, evaluation_context, _string)

    async def resolve_integer_details_async(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        return await self._resolve_async(flag_key, evaluation_context, _integer)

    async def resolve_float_details_async(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        return await self._resolve_async(flag_key, evaluation_context, _float)

    async def resolve_object_details_async(
        self, flag_key: str, default_value: Objects, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[Objects]:
        return await self._resolve_async(flag_key, evaluation_context, _object)

    # -- inside ------------------------------------------------------------------------------

    def _resolve(
        self, flag_key: str, context: EvaluationContext | None, convert: Callable[[Any], T]
    ) -> FlagResolutionDetails[T]:
        body = _body(context)
        return _details(flag_key, self._fresh(body) or self._answers(body), convert)

    async def _resolve_async(
        self, flag_key: str, context: EvaluationContext | None, convert: Callable[[Any], T]
    ) -> FlagResolutionDetails[T]:
        """What is fresh needs no thread."""
        body = _body(context)
        answers = self._fresh(body)
        if answers is None:
            answers = await asyncio.to_thread(self._answers, body)
        return _details(flag_key, answers, convert)

    def _fresh(self, body: str) -> _Answers | None:
        with self._lock:
            answers = self._known.get(body)
        return None if answers is None or answers.flags is None or not self._is_fresh(answers) else answers

    def _is_fresh(self, answers: _Answers) -> bool:
        return self._clock() - answers.seen_s < self._max_age_s

    def _answers(self, body: str) -> _Answers:
        """Raises OpenFeatureError when nothing is known of the context and nothing can be learned."""
        with self._lock:
            answers = self._known.setdefault(body, _Answers())
            self._known.move_to_end(body)
            while len(self._known) > self._max_contexts:
                self._known.popitem(last=False)
        with answers.lock:
            if answers.flags is None or not self._is_fresh(answers):
                self._renew(answers, body)
        return answers

    def _renew(self, answers: _Answers, body: str) -> None:
        now_s = self._clock()
        try:
            if now_s < self._rest_until_s:  # nobody waits again for what has just failed
                raise GeneralError("Tenfold could not be reached a moment ago.")
            told = self._ask(body, answers.etag if answers.flags is not None else None)
        except InvalidContextError:
            raise
        except OpenFeatureError as error:
            if answers.flags is None:
                raise
            logger.info("flags are not up to date: %s", error.error_message)
            answers.stale = True
        else:
            if told is not None:
                answers.flags, answers.etag = told
            answers.stale = False
        answers.seen_s = now_s

    def _ask(self, body: str, etag: str | None) -> tuple[dict[str, dict[str, Any]], str | None] | None:
        """None: as before. Raises OpenFeatureError."""
        try:
            status, told_etag, reply = self._wire.post(PATH, body.encode(), etag)
        except (OSError, HTTPException) as error:
            self._rest_until_s = self._clock() + REST_S
            raise GeneralError(f"Tenfold cannot be reached: {type(error).__name__}.") from error
        if status == 304:
            return None
        if status in (401, 403):
            raise ProviderFatalError("Tenfold refuses this API key.")
        try:
            data = json.loads(reply)
            if status == 200:
                return {flag["key"]: flag for flag in data["flags"]}, told_etag
            details = str(data.get("errorDetails") or data.get("detail") or "")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise GeneralError(f"What answered with {status} is not Tenfold.") from error
        if status == 400:
            raise InvalidContextError(details)
        raise GeneralError(f"Tenfold answered {status}: {details}")


# -- values ----------------------------------------------------------------------------------


def _details(key: str, answers: _Answers, convert: Callable[[Any], T]) -> FlagResolutionDetails[T]:
    assert answers.flags is not None
    told = answers.flags.get(key)
    if told is None:
        raise FlagNotFoundError(f"There is no flag '{key}'.")
    code = told.get("errorCode")
    if code is not None:
        known = ErrorCode(code) if code in list(ErrorCode) else ErrorCode.GENERAL
        raise ErrorCode.to_exception(known, str(told.get("errorDetails", "")))
    return FlagResolutionDetails(
        value=convert(told.get("value")),
        reason=Reason.STALE if answers.stale else told.get("reason"),
        variant=told.get("variant"),
        flag_metadata=told.get("metadata") or {},
    )


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise _mismatch("boolean")


def _string(value: object) -> str:
    if isinstance(value, str):
        return value
    raise _mismatch("string")


def _integer(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _mismatch("whole number")


def _float(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise _mismatch("number")


def _object(value: object) -> Objects:
    if isinstance(value, dict | list):
        return cast("Objects", value)
    raise _mismatch("object")


def _mismatch(wanted: str) -> TypeMismatchError:
    return TypeMismatchError(f"The value of the flag is no {wanted}.")


def _body(context: EvaluationContext | None) -> str:
    """The same text for the same context. Raises InvalidContextError."""
    attributes: dict[str, Any] = {} if context is None else dict(context.attributes)
    if context is not None and context.targeting_key is not None:
        attributes["targetingKey"] = context.targeting_key
    try:
        return json.dumps({"context": attributes}, sort_keys=True, default=_plain, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidContextError(f"The context cannot be told as JSON: {error}") from error


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} is no attribute")


# -- the wire --------------------------------------------------------------------------------


class _Wire:
    """HTTP/1.1 over connections that are kept; each is one thread's while it is used."""

    def __init__(self, base_url: str, api_key: str, timeout_s: float) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"no address of a Tenfold: {base_url!r}")
        self._host, self._port = parts.hostname, parts.port
        self._tls = parts.scheme == "https"
        self._timeout_s = timeout_s
        self._prefix = parts.path.rstrip("/")
        self._headers = {"authorization": f"Bearer {api_key}", "content-type": "application/json"}
        self._idle: deque[HTTPConnection] = deque()

    def post(self, path: str, body: bytes, etag: str | None) -> tuple[int, str | None, bytes]:
        """Status, ETag, body. Raises OSError, HTTPException."""
        headers = self._headers if etag is None else self._headers | {"if-none-match": etag}
        while True:
            try:
                connection, is_kept = self._idle.pop(), True
            except IndexError:
                connection, is_kept = self._open(), False
            try:
                connection.request("POST", self._prefix + path, body, headers)
                response = connection.getresponse()
                reply = response.read(MAX_REPLY_BYTES)
            except (OSError, HTTPException) as error:
                connection.close()
                if is_kept and not isinstance(error, TimeoutError):
                    continue  # it had been closed while nobody used it; evaluation may be repeated
                raise
            if response.isclosed() and not response.will_close:
                self._idle.append(connection)
            else:
                connection.close()
            return response.status, response.headers.get("etag"), reply

    def _open(self) -> HTTPConnection:
        kind = HTTPSConnection if self._tls else HTTPConnection
        return kind(self._host, self._port, timeout=self._timeout_s)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()
