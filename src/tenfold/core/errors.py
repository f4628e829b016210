"""The one error tree. Every error a caller can see is one of these.

TenfoldError                    status  code                  retryable
|- InvalidRequest               400     invalid_request       no
|  |- UnsupportedParameter      400     unsupported_parameter no
|- Unauthenticated              401     invalid_api_key       no
|- BudgetExceeded               402     budget_exceeded       no
|- CostCeilingExceeded          402     cost_ceiling_exceeded no
|- PriceUnknown                 402     price_unknown         no
|- PermissionDenied             403     permission_denied     no
|- NotFound                     404     not_found             no
|  |- ModelNotFound             404     model_not_found       no
|- RequestTimeout               408     request_timeout       yes
|- Conflict                     409     conflict              no
|  |- IdempotencyInFlight       409     idempotency_in_flight yes
|  |- IdempotencyInterrupted    409     idempotency_interrupted no
|  |  |- IdempotencyReplyLost   409     idempotency_interrupted no
|- TooLarge                     413     request_too_large     no
|- IdempotencyMismatch          422     idempotency_mismatch  no
|- RateLimited                  429     rate_limit_exceeded   yes
|- UpstreamError                (kept)  upstream_error        429 and 5xx
|  |- UpstreamUnavailable       502     upstream_unavailable  yes
|  |- UpstreamTimeout           504     upstream_timeout      yes
|  |- BrokenStream              502     stream_interrupted    yes
|  |- OutputInvalid             502     output_invalid        yes
|- DeadlineExceeded             504     deadline_exceeded     yes
|- Overloaded                   503     overloaded            yes
|- FeatureOff                   503     feature_off           no
|- StoreUnavailable             503     store_unavailable     yes

`message` is safe to show to the caller: it never holds a secret, a query or a stack.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID


class TenfoldError(Exception):
    """A bug of ours, or something nobody foresaw. It is in the log with the request id."""

    status: int = 500
    code: str = "internal_error"
    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: float | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param  # path of the offending field, e.g. "messages[0].content"
        self.retry_after_s = retry_after_s
        self.details = details  # what Anthropic's SDK acts on beside type and message


class InvalidRequest(TenfoldError):
    """The request cannot be understood; `param` says where. Nothing reached a provider."""

    status, code = 400, "invalid_request"


class UnsupportedParameter(InvalidRequest):
    """The chosen upstream cannot do what `param` asks; the message names a way out."""

    code = "unsupported_parameter"


class Unauthenticated(TenfoldError):
    """The API key is missing, unknown, expired or revoked."""

    status, code = 401, "invalid_api_key"


class BudgetExceeded(TenfoldError):
    """A hard budget has no room for what this call may cost at most; the call was not begun and cost nothing."""

    status, code = 402, "budget_exceeded"


class CostCeilingExceeded(TenfoldError):
    """This call may cost more than one call may; it was not begun. The message names the bound and the way out."""

    status, code = 402, "cost_ceiling_exceeded"


class PriceUnknown(TenfoldError):
    """No price is known for the model, so the call was not begun: it could not be accounted for."""

    status, code = 402, "price_unknown"


class PermissionDenied(TenfoldError):
    """The key is good and may not do this."""

    status, code = 403, "permission_denied"


class NotFound(TenfoldError):
    """There is no such thing, or it is another tenant's: the two are not told apart."""

    status, code = 404, "not_found"


class ModelNotFound(NotFound):
    """No model of that name is configured; the message names the nearest one."""

    code = "model_not_found"


class RequestTimeout(TenfoldError):
    """The request's body did not arrive in time."""

    status, code, retryable = 408, "request_timeout", True


class Conflict(TenfoldError):
    """It exists already, or is in use."""

    status, code = 409, "conflict"


class IdempotencyInFlight(Conflict):
    """The first call with this `Idempotency-Key` is still running; its result can be had when it has ended."""

    code, retryable = "idempotency_in_flight", True


class IdempotencyInterrupted(Conflict):
    """The first call with this `Idempotency-Key` was broken off after its provider may have been asked, and is charged
    once. It is not asked again under the same key."""

    code = "idempotency_interrupted"
    first: "tuple[UUID, datetime] | None" = None  # id and time of that call, as on its receipt


class IdempotencyReplyLost(IdempotencyInterrupted):
    """The first call with this `Idempotency-Key` was answered and charged, and its reply was too large to be kept."""


class TooLarge(TenfoldError):
    """The body is larger than `server.max_body_bytes`."""

    status, code = 413, "request_too_large"


class IdempotencyMismatch(TenfoldError):
    """The `Idempotency-Key` was used before with another request."""

    status, code = 422, "idempotency_mismatch"


class RateLimited(TenfoldError):
    """Too many of these in too short a time; `Retry-After` says when to try again."""

    status, code, retryable = 429, "rate_limit_exceeded", True
    headers = ""  # lines (core.headers) that say where the limits stand


class UpstreamError(TenfoldError):
    """The provider answered with an error. Its status is kept; so are its type and code where it gave them."""

    status, code = 502, "upstream_error"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        kind: str | None = None,
        upstream_code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        details: Mapping[str, Any] | None = None,
        unanswered: bool = False,
    ) -> None:
        super().__init__(message, param=param, retry_after_s=retry_after_s, details=details)
        if status is not None:
            self.status = status
        self.unanswered = unanswered  # the whole request went out and no reply head came: it may be billed
        self.kind = kind  # the provider's own error type, e.g. "overloaded_error"
        self.upstream_code = upstream_code
        self.headers = headers  # rate-limit and request-id headers worth carrying to the client
        self.retryable = type(self).retryable or self.status == 429 or self.status >= 500


class UpstreamUnavailable(UpstreamError):
    """No connection, or it was lost before the reply began."""

    status, code, retryable = 502, "upstream_unavailable", True


class UpstreamTimeout(UpstreamError):
    """The provider did not connect, begin or go on in the time the settings give it."""

    status, code, retryable = 504, "upstream_timeout", True


class BrokenStream(UpstreamError):
    """The reply began and did not end as the provider's protocol says a complete one does."""

    status, code, retryable = 502, "stream_interrupted", True


class OutputInvalid(UpstreamError):
    """The reply does not fit the JSON Schema that the request asks for, and neither repair nor escalation mended it."""

    status, code, retryable = 502, "output_invalid", True


class DeadlineExceeded(TenfoldError):
    """The deadline of the request, or of its route, passed before the reply was complete."""

    status, code, retryable = 504, "deadline_exceeded", True


class Overloaded(TenfoldError):
    """This process has all the calls in flight it may have, or is stopping."""

    status, code, retryable = 503, "overloaded", True


class FeatureOff(TenfoldError):
    """The operator or the tenant has switched it off, and no degraded answer is declared for it. Nothing was asked."""

    status, code = 503, "feature_off"


class StoreUnavailable(TenfoldError):
    """The database is away; the call was not begun and cost nothing."""

    status, code, retryable = 503, "store_unavailable", True
