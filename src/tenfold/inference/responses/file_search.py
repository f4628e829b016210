"""The tool `file_search` of the Responses API. A model that calls functions gets it as one, and is asked again with
what was found, for a bounded number of rounds; for one that does not, the question is searched for before it is asked.
Each round is a call of its own on the one path.
"""

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import perf_counter

from msgspec import Struct, json, structs

from tenfold.core.call import Call, CallOptions, Grounds
from tenfold.core.errors import StoreUnavailable, TenfoldError
from tenfold.core.principal import Principal
from tenfold.inference.ports import Responder
from tenfold.inference.responses.file_search_reply import Reply, StreamedReply, WholeReply
from tenfold.inference.responses.file_search_request import (
    MAX_RESULTS,
    Search,
    Sources,
    acts,
    as_function,
    call_item,
    function_name,
    gone_on,
    is_call,
    may_search,
    queries_of,
    question_of,
    quoting,
    search_of,
    without,
)
from tenfold.inference.responses.ports import Codec, FileSearcher
from tenfold.inference.responses.types import Echo, FoundPassage, JsonObject

MAX_ROUNDS = 5  # calls of the model for one response; in the last it is told to answer
_UP_FRONT_RESULTS = 8  # for a model that reads them all, unless the client says how many

Ask = Callable[[bytes, Responder, CallOptions, str], Awaitable[Call]]
"""One call on the one path: its body, where its reply goes, its options; and a name of the round, "" for the first of a
request that is asked as it came, and otherwise one of what it holds: under the same name it is the same call."""


class Answered(Struct, frozen=True, kw_only=True):
    """`error`: what it ended with; `told` False: nobody has been told of it. `cost_nano`: of all rounds."""

    error: TenfoldError | None = None
    cost_nano: int = 0
    told: bool = True


class FileSearch:
    """`does_tools`: whether every target of a model calls functions."""

    def __init__(
        self, searcher: FileSearcher, codec: Codec, does_tools: Callable[[str], bool], *, max_rounds: int = MAX_ROUNDS
    ) -> None:
        self._searcher = searcher
        self._codec = codec
        self._does_tools = does_tools
        self._max_rounds = max_rounds

    async def answer(
        self, principal: Principal, echo: Echo, body: bytes, options: CallOptions, responder: Responder, ask: Ask
    ) -> Answered:
        """`body`: of a request that `is_wanted`, with all that it goes on from. Raises the responder's `gone`."""
        return await _Answer(self, principal, echo, json.decode(body), options, responder, ask).run()

    async def check(self, principal: Principal, search: Search) -> None:
        """A store that is not there is told of before a model is asked, which may never search. Raises NotFound,
        InvalidRequest."""
        with suppress(StoreUnavailable):  # only a search needs the database
            await self._searcher.check(principal, search.store_ids)

    async def find(
        self, principal: Principal, search: Search, queries: list[str], most: int = MAX_RESULTS
    ) -> list[FoundPassage]:
        """Raises NotFound, InvalidRequest, StoreUnavailable."""
        return await self._searcher.search(
            principal,
            search.store_ids,
            queries,
            filters=search.filters,
            max_results=search.max_results or most,
            ranking=search.ranking,
        )

    def reply(self, echo: Echo, responder: Responder, sources: Sources, name: str) -> Reply:
        kind = StreamedReply if echo.request.get("stream") is True else WholeReply
        return kind(self._codec, echo, responder, sources, name)

    def calls_functions(self, model: str) -> bool:
        return self._does_tools(model)

    @property
    def max_rounds(self) -> int:
        return self._max_rounds


def is_wanted(request: JsonObject) -> bool:
    """Whether the client offers a search of files."""
    return search_of(request) is not None


def alone(body: bytes) -> bytes:
    """The request as it is without the search: what else it asks is checked so."""
    return json.encode(without(json.decode(body)))


class _Answer:
    """One response in the making."""

    def __init__(
        self,
        files: FileSearch,
        principal: Principal,
        echo: Echo,
        request: JsonObject,
        options: CallOptions,
        responder: Responder,
        ask: Ask,
    ) -> None:
        search = search_of(request)
        assert search is not None
        self._files, self._search = files, search
        self._principal, self._options, self._ask = principal, options, ask
        self._echo, self._request = echo, request
        self._tells_results = "file_search_call.results" in (echo.request.get("include") or ())
        self._name = function_name(request)
        self._sources = Sources()
        self._reply = files.reply(echo, responder, self._sources, self._name)
        self._question = question_of(request)
        self._cost: int | None = 0
        self._started = perf_counter()
        self._request_id = ""

    async def run(self) -> Answered:
        try:
            if not may_search(self._request):
                return await self._one_round(without(self._request))
            if self._files.calls_functions(self._request["model"]):
                await self._files.check(self._principal, self._search)
                return await self._rounds(as_function(self._request, self._name))
            return await self._up_front(without(self._request))
        except TenfoldError as error:
            told = await self._reply.fail(error, self._request_id)
            return Answered(error=error, cost_nano=self._cost or 0, told=told)

    async def _up_front(self, request: JsonObject) -> Answered:
        """Searched for the last message of the user. Raises as `find`."""
        if not self._question.strip():
            return await self._one_round(request)
        queries = queries_of({}, self._question)
        found = await self._files.find(self._principal, self._search, queries, _UP_FRONT_RESULTS)
        self._sources.add(found, self._question)
        item = call_item(f"fs_{self._echo.id.removeprefix('resp_')}ffff", queries, self._results(found))
        await self._reply.searched(None, item)
        return await self._one_round(quoting(request, self._sources.passages), question=self._question)

    async def _one_round(self, request: JsonObject, question: str | None = None) -> Answered:
        call, response = await self._round(request, question)
        if response is None:
            return Answered(error=call.error, cost_nano=self._cost or 0)
        await self._reply.end(response, self._cost)
        return Answered(cost_nano=self._cost or 0)

    async def _rounds(self, request: JsonObject) -> Answered:
        """Raises as `find`."""
        most_calls = self._request.get("max_tool_calls")
        searches = 0
        request.pop("max_tool_calls", None)
        for number in range(1, self._files.max_rounds + 1):
            if number == self._files.max_rounds or (most_calls is not None and searches >= most_calls):
                request = request | {"tool_choice": "none"}
            call, response = await self._round(request, None, is_first=number == 1)
            if response is None:
                return Answered(error=call.error, cost_nano=self._cost or 0)
            output = response["output"]
            calls = [item for item in output if is_call(item, self._name)]
            if not calls or response["status"] != "completed" or request.get("tool_choice") == "none":
                break
            told = [(one["call_id"], await self._find(one)) for one in calls]
            searches += len(calls)
            if acts(output, self._name):  # the client's own functions are next
                break
            request = gone_on(request, output, told)
        assert response is not None
        await self._reply.end(response, self._cost)
        return Answered(cost_nano=self._cost or 0)

    async def _find(self, call: JsonObject) -> str:
        """What the model is told of its call. Raises as `find`."""
        queries = queries_of(call, self._question)
        found = await self._files.find(self._principal, self._search, queries)
        text = self._sources.add(found, "; ".join(queries))
        item = call_item("fs_" + call["id"].removeprefix("fc_"), queries, self._results(found))
        await self._reply.searched(call, item)
        return text

    async def _round(
        self, request: JsonObject, question: str | None, *, is_first: bool = False
    ) -> tuple[Call, JsonObject | None]:
        body = json.encode(request)
        name = "" if is_first else hashlib.blake2b(body, digest_size=8).hexdigest()
        call = await self._ask(body, self._reply.begin(), self._options_of(name, question), name)
        self._request_id = call.request_id
        self._cost = None if self._cost is None or call.cost_nano is None else self._cost + call.cost_nano
        return call, await self._reply.end_round(call)

    def _options_of(self, name: str, question: str | None) -> CallOptions:
        """What is left of the client's bounds, and what the answer rests on."""
        options = self._options
        grounds = options.grounds
        if self._sources.passages:
            documents = frozenset(passage.document for passage in self._sources.passages)
            known = frozenset() if grounds is None else grounds.documents
            grounds = Grounds(question=question, documents=documents | known)
        key, deadline, ceiling = options.idempotency_key, options.deadline_ms, options.max_cost_nano
        return structs.replace(
            options,
            grounds=grounds,
            cache=options.cache - {"semantic"} | {"exact"},  # its marks are of these passages, in this order
            respond_async=False,
            wait_s=0.0,
            idempotency_key=f"{key}:{name}" if key is not None and name else key,
            deadline_ms=None if deadline is None else max(1, deadline - int(1_000 * (perf_counter() - self._started))),
            max_cost_nano=None if ceiling is None else max(0, ceiling - (self._cost or 0)),
        )

    def _results(self, found: list[FoundPassage]) -> list[FoundPassage] | None:
        return found if self._tells_results else None
