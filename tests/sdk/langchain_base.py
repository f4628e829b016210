"""What LangChain's standard suites need to run over Tenfold: its address, and pictures without the internet."""

import asyncio
import base64
import gc
from typing import Any, ClassVar

import httpx
import httpx2
import pytest
from langchain_anthropic._client_utils import _get_default_async_httpx_client as _for_anthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_openai.chat_models._client_utils import _cached_async_httpx_client as _for_openai
from langchain_tests.integration_tests import ChatModelIntegrationTests

from tests.sdk.models import PIXEL
from tests.support.tenfold_process import TenfoldProcess

LANGCHAIN_MARKS = [
    pytest.mark.filterwarnings(said)
    for said in (
        "ignore:unclosed:ResourceWarning",  # it keeps its clients for ever
        "ignore:OpenAI may require a filename",
        "ignore:Unrecognized structured output method",
        "ignore:Received a Pydantic BaseModel V1 schema",
        "ignore:Pydantic serializer warnings",
        "ignore:Benchmark fixture was not used",  # the test of recorded replies is skipped
    )
]

LONG_TEXT = "This stays the same in every question. " * 220
"""Above the 1024 tokens from which on the vendors cache."""


class OverTenfold(ChatModelIntegrationTests):
    """`model_name` is served by any upstream; `other_model` by another one."""

    model_name: ClassVar[str]
    other_model: ClassVar[str]
    tenfold: ClassVar[TenfoldProcess]

    @pytest.fixture(autouse=True)
    def _over_tenfold(
        self, tenfold: TenfoldProcess, langchain_clients: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        type(self).tenfold = tenfold
        monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "tenfold-tests")
        monkeypatch.setattr(httpx, "get", _fetched)

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str | None:
        return self.other_model

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        model = self._model()
        said: Any = [("system", f"{type(self).__name__} {stream} {LONG_TEXT}"), ("user", "hello")]
        model.invoke(said)
        return ask(model, said, stream=stream)

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return ask(self._model(**self.reasoning_params), "hello", stream=stream)

    @property
    def reasoning_params(self) -> dict[str, Any]:
        """How this client asks this model to think."""
        raise NotImplementedError

    def _model(self, **more: Any) -> BaseChatModel:
        return self.chat_model_class(**{**self.chat_model_params, **more})


def ask(model: BaseChatModel, said: Any, *, stream: bool) -> AIMessage:
    if not stream:
        return model.invoke(said)
    first, *others = model.stream(said)
    for chunk in others:
        first += chunk
    return first


async def close_forgotten_clients() -> None:
    """LangChain gives its async clients no owner who would close them, and keeps them for whoever asks next: so it is
    made to forget them, too. To be called on the loop they were used on."""
    for something in gc.get_objects():
        if issubclass(type(something), httpx2.AsyncClient) and not something.is_closed:
            await something.aclose()
    for kept in (_for_openai, _for_anthropic):
        kept.cache_clear()
    gc.collect()  # what nobody holds any more closes itself in a task of its own
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others, timeout=1)
    for _ in range(5):
        await asyncio.sleep(0)  # sockets are closed some turns of the loop later


def _fetched(url: str, **_: Any) -> httpx.Response:
    """Instead of the pictures, documents and sounds that the standard tests fetch from the internet."""
    return httpx.Response(200, content=base64.b64decode(PIXEL), request=httpx.Request("GET", url))
