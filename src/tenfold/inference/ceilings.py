"""What one call may cost at most, whatever the budgets hold: by request, by model, by the client's own word."""

from collections.abc import Mapping

from tenfold.core.call import Call
from tenfold.core.errors import CostCeilingExceeded
from tenfold.core.money import format_usd
from tenfold.core.principal import SCOPE_APPROVE
from tenfold.inference.bound import Bound


class Ceilings:
    """`request_nano`: of every call; `model_nano`: of a model's calls instead. 10^-9 USD, None: no ceiling."""

    def __init__(self, request_nano: int | None = None, model_nano: Mapping[str, int] | None = None) -> None:
        self._request_nano = request_nano
        self._model_nano = dict(model_nano or {})

    def of(self, call: Call) -> int | None:
        """What the call may cost, 10^-9 USD; None: there is no ceiling. An approval lifts ours, not the client's."""
        ceiling, own = self._model_nano.get(call.model, self._request_nano), call.options.max_cost_nano
        if ceiling is not None and call.options.approved_cost_nano is not None:
            ceiling = max(ceiling, call.options.approved_cost_nano)
        if ceiling is None or own is None:
            return own if ceiling is None else ceiling
        return min(ceiling, own)

    def check(self, call: Call, bound: Bound) -> None:
        """Raises CostCeilingExceeded, PermissionDenied (approval without the scope)."""
        own = call.options.max_cost_nano
        if own is not None and bound.nano > own:
            raise CostCeilingExceeded(
                f"This call may cost up to {format_usd(bound.nano)} USD, more than the {format_usd(own)} USD of "
                "Tenfold-Max-Cost-Usd. Lower max_tokens, shorten the input, or raise the header.",
                param="Tenfold-Max-Cost-Usd",
                details=_details(bound, own),
            )
        ceiling = self._model_nano.get(call.model, self._request_nano)
        if ceiling is None or bound.nano <= ceiling:
            return
        approved = call.options.approved_cost_nano
        if approved is not None:
            call.principal.require(SCOPE_APPROVE)
            if bound.nano <= approved:
                return
        raise CostCeilingExceeded(
            f"This call may cost up to {format_usd(bound.nano)} USD; one call may cost {format_usd(ceiling)} USD. "
            "Lower max_tokens, shorten the input, or approve it with the header Tenfold-Approve-Cost-Usd and a key "
            "that has the scope `approve`.",
            param="max_tokens",
            details=_details(bound, ceiling),
        )


def _details(bound: Bound, ceiling_nano: int) -> dict[str, str]:
    """For programs that act on the refusal: the amounts as decimal USD."""
    return {"bound_usd": format_usd(bound.nano), "ceiling_usd": format_usd(ceiling_nano)}
