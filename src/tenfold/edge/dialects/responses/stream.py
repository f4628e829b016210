"""Canonical stream events as the event protocol of the Responses API."""

from collections.abc import Callable

from tenfold.core.chat import (
    ChatEvent,
    ChatRequest,
    Ended,
    Failed,
    Finished,
    JsonObject,
    Metered,
    OpaqueDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)
from tenfold.core.errors import TenfoldError, UpstreamError
from tenfold.core.usage import Usage
from tenfold.edge.dialects.responses.echo import Echo, Status, blank, tier
from tenfold.edge.dialects.responses.errors import error_members, told
from tenfold.edge.dialects.responses.open_items import (
    Events,
    OpenCall,
    OpenItem,
    OpenMessage,
    OpenThought,
    tell_whole,
)
from tenfold.edge.dialects.responses.reply import (
    annotations,
    echo_of,
    finished,
    item_id,
    logprobs_of,
    opaque_item,
    outcome,
    wants_summary,
)
from tenfold.edge.dialects.responses.request import asked


class ResponsesReplyEncoder:
    """One per stream. An item begins when the one before it is done; only calls may grow in turn, and one of them is
    done when its arguments are whole and another item begins."""

    def __init__(self, request: ChatRequest, now_s: Callable[[], int]) -> None:
        self._request = request
        self._asked = asked(request)
        self._summarised = wants_summary(self._asked)
        self._now_s = now_s
        self._events = Events()
        self._echo: Echo | None = None
        self._model = request.model
        self._tier: str | None = None
        self._over = False
        self._open: OpenMessage | OpenThought | None = None
        self._calls: dict[int, OpenCall] = {}
        self._called: set[int] = set()
        self._grown: set[int] = set()  # slots of open calls that may have become whole
        self._items = 0
        self._output: dict[int, JsonObject] = {}
        self._refused = False
        self._usage: Usage | None = None
        self._finished: Finished | None = None

    def encode(self, events: list[ChatEvent]) -> bytes:
        for event in events:
            if self._over:
                break
            self._encode(event)
        return self._events.take()

    def _encode(self, event: ChatEvent) -> None:
        match event:
            case Failed():
                self._fail(UpstreamError(event.message, status=event.status, kind=event.kind, upstream_code=event.code))
            case Started():
                self._start(event)
            case Finished():
                self._finished = self._finished or (event if event.choice == 0 else None)
            case Metered():
                self._usage = event.usage
            case Ended():
                self._end()
            case _ if event.choice == 0:  # a response has one
                self._content(event)

    # -- the response --------------------------------------------------------------------------

    def _start(self, event: Started) -> Echo:
        if self._echo is not None:
            return self._echo
        self._model, self._tier = event.model or self._model, event.service_tier
        echo = self._echo = echo_of(event.id, event.created_s or self._now_s(), self._asked)
        self._events.send("response.created", {"response": self._response("in_progress")})
        self._events.send("response.in_progress", {"response": self._response("in_progress")})
        return echo

    def _begun(self) -> Echo:
        return self._echo or self._start(Started(id="", model=""))

    def _response(self, status: Status, error: TenfoldError | None = None) -> JsonObject:
        output = [self._output[index] for index in sorted(self._output)]
        response = blank(self._begun(), status, error, output)
        return response | {"model": self._model, "service_tier": tier(self._tier, self._asked)}

    def _end(self) -> None:
        status, details = outcome(self._finished.reason if self._finished else None, refused=self._refused)
        if not self._items:
            self._message().text("", None, [], [])
        cut = self._items - 1 if details is not None else None
        self._close(cut)
        self._calls_end(cut)
        response = self._response(status) | {"incomplete_details": details}
        response |= finished(status, self._now_s(), self._usage)
        self._events.send(f"response.{status}", {"response": response})
        self._over = True

    def _fail(self, error: TenfoldError) -> None:
        """Both of OpenAI's words for it: the event on which its SDKs raise, and the response as it came to be."""
        self._begun()
        self._events.send("error", error_members(told(error)))
        failed = self._response("failed", error) | finished("failed", 0, self._usage)
        self._events.send("response.failed", {"response": failed})
        self._over = True

    # -- its items -----------------------------------------------------------------------------

    def _content(self, event: ChatEvent) -> None:
        match event:
            case TextDelta(logprobs=None, citations=None):
                if event.text:
                    self._message().text(event.text, event.block, [], [])
            case TextDelta():
                logprobs = logprobs_of((event.logprobs or {}).get("content"))
                notes = annotations(event.citations or ())
                if event.text or logprobs or notes:
                    self._message().text(event.text, event.block, notes, logprobs)
            case RefusalDelta():
                self._refused = True
                self._message().refusal(event.text)
            case ThinkingDelta():
                self._thought(event)
            case ToolCallDelta():
                self._call(event)
            case OpaqueDelta():
                self._whole(event)

    def _message(self) -> OpenMessage:
        if not isinstance(self._open, OpenMessage):
            number, id_ = self._next("message")
            self._open = OpenMessage(self._events, number, id_)
        return self._open

    def _thought(self, event: ThinkingDelta) -> None:
        if not event.text and event.signature is None and event.redacted is None:
            return
        if not isinstance(self._open, OpenThought) or not self._open.continues(event):
            number, id_ = self._next("reasoning")
            self._open = OpenThought(self._events, number, id_, event.block, summarised=self._summarised)
        self._open.add(event)

    def _call(self, event: ToolCallDelta) -> None:
        call = self._calls.get(event.slot)
        if call is None:
            if event.slot in self._called:
                if event.arguments.strip():
                    self._fail(UpstreamError("The provider mixed tool calls in a way that cannot be told apart."))
                return
            number, id_ = self._next("function_call")
            self._called.add(event.slot)
            call_id = event.id or f"call_{self._begun().hex}{number:04x}"
            call = self._calls[event.slot] = OpenCall(self._events, number, id_, event, call_id)
        call.add(event)
        self._grown.add(event.slot)

    def _whole(self, event: OpaqueDelta) -> None:
        item = opaque_item(event.part, self._begun().hex, self._items)
        if item is not None:
            number, _ = self._next("message")
            self._output[number] = tell_whole(self._events, number, item)

    def _next(self, kind: str) -> tuple[int, str]:
        """The number and the id of a new item; what is open and whole ends before it."""
        echo = self._begun()
        self._close()
        self._whole_calls_end()
        number = self._items
        self._items += 1
        return number, item_id(kind, echo.hex, number)

    def _close(self, cut: int | None = None) -> None:
        if self._open is not None:
            self._done(self._open, cut)
            self._open = None

    def _whole_calls_end(self) -> None:
        """Each is looked at once after it grew."""
        grown, self._grown = self._grown, set()
        for slot in sorted(grown):
            if self._calls[slot].is_whole():
                self._done(self._calls.pop(slot), None)

    def _calls_end(self, cut: int | None) -> None:
        for call in self._calls.values():
            self._done(call, cut)
        self._calls.clear()

    def _done(self, item: OpenItem, cut: int | None) -> None:
        self._output[item.index] = item.end(complete=item.index != cut)
