"""LangChain's standard tests of chat models: ChatOpenAI over OpenAI, Claude and Gemini, all behind Tenfold."""

from typing import Any, Literal

import openai
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from tests.sdk.langchain_base import LANGCHAIN_MARKS, OverTenfold
from tests.sdk.models import CLAUDE, GEMINI, OPENAI
from tests.support.tenfold_process import KEY, TenfoldProcess

pytestmark = LANGCHAIN_MARKS

Detail = Literal["audio_input", "audio_output", "reasoning_output", "cache_read_input", "cache_creation_input"]


class _ChatOpenAI(OverTenfold):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": self.model_name,
            "base_url": f"{self.tenfold.url}/v1",
            "api_key": KEY,
            "stream_usage": True,
            "max_retries": 0,
        }

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supported_usage_metadata_details(self) -> dict[Literal["invoke", "stream"], list[Detail]]:
        return {
            "invoke": ["reasoning_output", "cache_read_input"],
            "stream": ["reasoning_output", "cache_read_input"],
        }


class TestOverOpenAI(_ChatOpenAI):
    model_name, other_model = OPENAI, CLAUDE

    @property
    def supports_audio_inputs(self) -> bool:
        return True

    @property
    def reasoning_params(self) -> dict[str, Any]:
        return {"model": "gpt-5-mini", "reasoning_effort": "low"}


class TestOverClaude(_ChatOpenAI):
    model_name, other_model = CLAUDE, GEMINI

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True

    @property
    def reasoning_params(self) -> dict[str, Any]:
        return {"reasoning_effort": "low"}


class TestOverGemini(_ChatOpenAI):
    model_name, other_model = GEMINI, OPENAI

    @property
    def supports_audio_inputs(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True

    @property
    def reasoning_params(self) -> dict[str, Any]:
        return {"reasoning_effort": "low"}


class TestUnits(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": CLAUDE, "base_url": "http://127.0.0.1:8080/v1", "api_key": KEY}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        environment = {"OPENAI_API_KEY": KEY, "OPENAI_API_BASE": "http://127.0.0.1:8080/v1"}
        expected = {"openai_api_key": KEY, "openai_api_base": "http://127.0.0.1:8080/v1"}
        return environment, {"model": CLAUDE}, expected


class _Embeddings(EmbeddingsIntegrationTests):
    model_name = ""
    tenfold: TenfoldProcess
    client: openai.DefaultAsyncHttpxClient

    @pytest.fixture(autouse=True)
    def _over_tenfold(self, tenfold: TenfoldProcess, langchain_clients: openai.DefaultAsyncHttpxClient) -> None:
        type(self).tenfold, type(self).client = tenfold, langchain_clients

    @property
    def embeddings_class(self) -> type[OpenAIEmbeddings]:
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {
            "model": self.model_name,
            "base_url": f"{self.tenfold.url}/v1",
            "api_key": KEY,
            "http_async_client": self.client,
            "check_embedding_ctx_length": False,  # else it sends token ids, for which it fetches a vocabulary
        }


class TestOpenAIEmbeddings(_Embeddings):
    model_name = "text-embedding-3-small"


class TestGeminiEmbeddings(_Embeddings):
    model_name = "gemini-embedding-001"


class TestOfflineEmbeddings(_Embeddings):
    model_name = "offline-granite-30m"
