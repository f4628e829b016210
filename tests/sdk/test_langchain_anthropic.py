"""LangChain's standard tests of chat models: ChatAnthropic over Claude, OpenAI and Gemini, all behind Tenfold."""

from typing import Any, Literal

from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_tests.unit_tests import ChatModelUnitTests

from tests.sdk.langchain_base import LANGCHAIN_MARKS, LONG_TEXT, OverTenfold, ask
from tests.sdk.models import CLAUDE, GEMINI, OPENAI
from tests.support.tenfold_process import KEY

pytestmark = LANGCHAIN_MARKS

Detail = Literal["audio_input", "audio_output", "reasoning_output", "cache_read_input", "cache_creation_input"]


class _ChatAnthropic(OverTenfold):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatAnthropic

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": self.model_name, "base_url": self.tenfold.url, "api_key": KEY, "max_retries": 0}

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supported_usage_metadata_details(self) -> dict[Literal["invoke", "stream"], list[Detail]]:
        return {"invoke": ["cache_read_input"], "stream": ["cache_read_input"]}


class TestOverClaude(_ChatAnthropic):
    model_name, other_model = CLAUDE, OPENAI

    @property
    def supported_usage_metadata_details(self) -> dict[Literal["invoke", "stream"], list[Detail]]:
        both: list[Detail] = ["cache_read_input", "cache_creation_input"]
        return {"invoke": both, "stream": both}

    def invoke_with_cache_creation_input(self, *, stream: bool = False) -> AIMessage:
        marked = {"type": "text", "text": f"{stream} {LONG_TEXT}", "cache_control": {"type": "ephemeral"}}
        return ask(self._model(), [("system", [marked]), ("user", "hello")], stream=stream)


class TestOverOpenAI(_ChatAnthropic):
    model_name, other_model = OPENAI, GEMINI


class TestOverGemini(_ChatAnthropic):
    model_name, other_model = GEMINI, CLAUDE


class TestUnits(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatAnthropic

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": GEMINI, "base_url": "http://127.0.0.1:8080", "api_key": KEY}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        environment = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_API_URL": "http://127.0.0.1:8080"}
        expected = {"anthropic_api_key": KEY, "anthropic_api_url": "http://127.0.0.1:8080"}
        return environment, {"model": GEMINI}, expected
