"""The Responses API in one process: the real front door, path and workers between fakes of the two ends.

>>> async with House({"openai": [whole("openai")]}) as house:
...     response = await house.client.responses.create(model=MODEL, input="Hi")
"""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import openai

from tenfold.core.errors import Unauthenticated
from tenfold.core.principal import Principal
from tenfold.edge.dialects.anthropic import AnthropicDialect
from tenfold.edge.dialects.openai import OpenAIDialect
from tenfold.edge.gateway import Dialects, Gateway
from tenfold.edge.http import Request
from tenfold.edge.responses import ResponsesCodec, ResponsesResource
from tenfold.inference.background import BackgroundCaller
from tenfold.inference.responses.background import BuryResponse, ForgetResponse, MakeResponse
from tenfold.inference.responses.fake import FakeFileSearcher, FakeResponseRows
from tenfold.inference.responses.file_search import FileSearch
from tenfold.inference.responses.handlers import Responses
from tenfold.inference.responses.making import Making
from tenfold.inference.responses.types import KIND, KIND_DEAD, KIND_FORGET, FoundPassage
from tenfold.webhooks.fake import FakeOutbox
from tenfold.webhooks.types import KIND as WEBHOOK
from tests.support.http_server import Served
from tests.support.jobs import Work
from tests.support.pipeline import Script, World, principal

MAX_BODY_BYTES = 1 << 20


class Keys:
    """The name of a tenant is its key."""

    def __init__(self, *principals: Principal) -> None:
        self._principals = {one.tenant_slug.encode(): one for one in principals}

    def authenticate(self, presented: bytes) -> Principal | None:
        return self._principals.get(presented)

    async def load(self, presented: bytes) -> Principal:
        raise Unauthenticated("No such key.")


class NoProbes:
    def ready(self) -> tuple[bool, bytes]:
        return True, b"{}"

    def metrics(self) -> tuple[str, bytes]:
        return "text/plain", b""


class House:
    """`client` is the official SDK with the key of `acme`, `other` that of another tenant. Background work is done
    while `working`."""

    def __init__(
        self,
        scripts: Mapping[str, Script],
        *,
        quiet_s: float = 60.0,
        max_input_bytes: int = 1 << 18,
        max_chain: int = 20,
        stores: Mapping[str, Sequence[FoundPassage]] | None = None,
        does_tools: bool = True,
        **how: Any,
    ) -> None:
        self.world = World(scripts, **how)
        self.acme, self.stranger = self.world.principal, principal("stranger")
        self.work = Work([KIND, KIND_DEAD, KIND_FORGET, WEBHOOK], self.world.clock)
        self.rows = FakeResponseRows(self.world.clock)
        self.outbox = FakeOutbox()
        self.codec = ResponsesCodec(self.world.clock)
        jobs = self.work.jobs
        self.making = Making(
            self.rows, jobs, self.codec, self.world.clock, max_input_bytes=max_input_bytes, max_chain=max_chain
        )
        self.responses = Responses(self.rows, jobs, self.outbox, self.making, self.world.clock)
        caller = BackgroundCaller(self.world.pipeline)
        self.searcher = FakeFileSearcher(self.acme.tenant_id, stores or {})
        files = None if stores is None else FileSearch(self.searcher, self.codec, lambda _model: does_tools)
        self.handlers = (
            MakeResponse(self.rows, self.making, caller, self.work.rows, self.outbox, files=files),
            BuryResponse(self.rows, self.codec, jobs, self.outbox),
            ForgetResponse(jobs),
        )
        self.resource = ResponsesResource(
            self.responses,
            self.world.pipeline,
            self.world.router,
            max_body_bytes=MAX_BODY_BYTES,
            quiet_s=quiet_s,
            files=files,
        )
        gateway = Gateway(
            keys=Keys(self.acme, self.stranger),
            pipeline=self.world.pipeline,
            router=self.world.router,
            dialects=Dialects(openai=OpenAIDialect(), anthropic=AnthropicDialect()),
            probes=NoProbes(),
            pages=_no_pages,
            max_body_bytes=MAX_BODY_BYTES,
            resources=[self.resource],
        )
        self.served = Served(gateway.handle)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.served)
        self.client = await self._stack.enter_async_context(self._client(self.acme))
        self.other = await self._stack.enter_async_context(self._client(self.stranger))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        await self.world.pipeline.aclose(1.0)

    def working(self) -> Any:
        return self.work.working(self.handlers)

    def _client(self, whose: Principal) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            base_url=f"{self.url}/v1",
            api_key=whose.tenant_slug,
            max_retries=0,
            timeout=20,
            http_client=openai.DefaultAsyncHttpxClient(verify=False),
        )

    @property
    def url(self) -> str:
        return self.served.url


async def _no_pages(request: Request) -> None:
    request.whole(404, "", b"")
