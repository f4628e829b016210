"""The call of a line: the one path, with its limits and budgets, under a key of the line's own."""

from tenfold.core.call import CallOptions
from tenfold.core.principal import Principal
from tenfold.inference.background import BackgroundCaller, Cancellable, Recorder
from tenfold.inference.batches.ports import LineReply
from tenfold.inference.batches.types import Endpoint


class PathCaller:
    """Implements `ports.LineCaller`."""

    def __init__(self, caller: BackgroundCaller) -> None:
        self._caller = caller

    async def ask(
        self,
        job: Cancellable,
        principal: Principal,
        endpoint: Endpoint,
        body: bytes,
        options: CallOptions,
        key: str,
    ) -> LineReply:
        reply = Recorder()
        call = await self._caller.call(
            principal, endpoint.operation, endpoint.dialect(), body, reply, key=key, options=options, job=job
        )
        return LineReply(
            request_id=call.request_id,
            status=reply.status,
            body=reply.body,
            cost_nano=call.cost_nano or 0,
            error=call.error,
        )
