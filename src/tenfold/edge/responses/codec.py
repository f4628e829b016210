"""What stored responses need of their dialect: implements `inference.responses.ports.Codec`."""

from collections.abc import Sequence

from tenfold.core.clock import Clock
from tenfold.core.errors import TenfoldError
from tenfold.edge.dialects.responses import Echo as DialectEcho
from tenfold.edge.dialects.responses import ResponsesDialect, Stamp, blank, input_items
from tenfold.edge.dialects.responses.errors import event
from tenfold.inference.responses.types import Echo, JsonObject, Status


class ResponsesCodec:
    def __init__(self, clock: Clock | None = None) -> None:
        self.dialect = ResponsesDialect(clock)

    def stamp(self, echo: Echo, *, sequence: int = 0, output_index: int = 0, begun: bool = False) -> Stamp:
        return Stamp(_echo(echo), sequence=sequence, output_index=output_index, begun=begun)

    def input_items(self, request: JsonObject, salt: str) -> list[JsonObject]:
        return input_items(request, salt)

    def blank(
        self, echo: Echo, status: Status, error: TenfoldError | None = None, output: Sequence[JsonObject] = ()
    ) -> JsonObject:
        return blank(_echo(echo), status, error, output)

    def event(self, kind: str, number: int, members: JsonObject) -> bytes:
        return event(kind, number, members)


def _echo(echo: Echo) -> DialectEcho:
    return DialectEcho(
        id=echo.id,
        created_at=echo.created_at,
        previous_response_id=echo.previous_response_id,
        store=echo.store,
        background=echo.background,
        request=echo.request,
    )
