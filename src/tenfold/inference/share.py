"""Listening to a flight: the one whose call it is, and others who asked the same while it was in the air."""

import copy
import time

from tenfold.core.errors import TenfoldError
from tenfold.inference import respond
from tenfold.inference.admit import Admit
from tenfold.inference.call import Question
from tenfold.inference.flight import Flight, Listener
from tenfold.inference.ports import Responder, Sender


class FlightFailed(Exception):
    """The flight ended in an error before its reply began; `error` is for a call of its own."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


async def take_home(flight: Flight, question: Question, responder: Responder) -> None:
    """The reply of one's own flight, to the client who asked. The call settles with the flight, not here; only an end
    that the flight could not tell of any more, because the process stops, is noted for a caller inside."""
    call = question.call
    async with flight.listening() as listener:
        try:
            await listener.head()
        except TenfoldError as error:
            call.error = error
            respond.refuse(error, question.dialect, call.request_id, responder)
            return
        if flight.is_stream:
            broken = await _pass_on(listener, responder.stream(flight.status, flight.headers), question)
            if broken is not None:
                call.error = broken
        else:
            responder.whole(flight.status, flight.headers, flight.body)


async def follow(flight: Flight, question: Question, responder: Responder, admit: Admit) -> None:
    """The reply of another call's flight, as this call's own, which costs nothing. Raises FlightFailed while nothing
    has been sent. The flight's receipt tells what was paid; this one tells the same usage."""
    call, leader = question.call, flight.call
    async with flight.listening() as listener:
        try:
            await listener.head()
        except Exception as error:  # whatever befell it, this call can still be answered
            raise FlightFailed(error) from error
        if flight.status >= 300:
            assert leader.error is not None
            raise FlightFailed(copy.copy(leader.error))
        call.cache_state = "coalesced"
        call.cost_nano = call.input_cost_nano = call.output_cost_nano = 0
        call.provider, call.upstream_model, call.served_by = leader.provider, leader.upstream_model, leader.served_by
        call.ignored, call.degraded, call.first_byte = leader.ignored, leader.degraded, time.perf_counter()
        call.ticket = leader.ticket  # what waits, waits for all who asked it
        if not flight.is_stream:
            call.usage, call.estimated = leader.usage, leader.estimated
            respond.whole(call, flight.body, responder, flight.status)
            return
        admit.share(call)
        question.sender = respond.begin_stream(call, responder)
        broken = await _pass_on(listener, question.sender, question)
        if broken is None and leader.error is not None:
            broken = copy.copy(leader.error)
        call.usage, call.estimated, call.stream_bytes = leader.usage, leader.estimated, listener.size
        call.degraded = leader.degraded  # a step may have been taken within the stream
        call.status, call.error = "ok" if broken is None else "cut", broken


async def _pass_on(listener: Listener, sender: Sender, question: Question) -> TenfoldError | None:
    """The stream to its end, or the error in place of it."""
    try:
        while frames := await listener.next():
            await sender.send_bytes(frames)
    except TenfoldError as error:
        await sender.send_bytes(question.dialect.error_frame(error, question.call.request_id))
        return error
    return None
