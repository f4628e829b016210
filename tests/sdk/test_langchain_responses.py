"""LangChain's standard tests of chat models: ChatOpenAI on the Responses API, over OpenAI, Claude and Gemini."""

from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI

from tests.sdk.langchain_base import LANGCHAIN_MARKS, OverTenfold
from tests.sdk.models import CLAUDE, GEMINI, OPENAI
from tests.support.tenfold_process import KEY

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
            "use_responses_api": True,
            "max_retries": 0,
        }

    @property
    def supports_json_mode(self) -> bool:
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

    @property
    def supported_usage_metadata_details(self) -> dict[Literal["invoke", "stream"], list[Detail]]:
        return {
            "invoke": ["reasoning_output", "cache_read_input"],
            "stream": ["reasoning_output", "cache_read_input"],
        }


class TestOverOpenAI(_ChatOpenAI):
    model_name, other_model = OPENAI, CLAUDE

    @property
    def reasoning_params(self) -> dict[str, Any]:
        return {"model": "gpt-5-mini", "reasoning_effort": "low"}


class TestOverClaude(_ChatOpenAI):
    model_name, other_model = CLAUDE, GEMINI


class TestOverGemini(_ChatOpenAI):
    model_name, other_model = GEMINI, OPENAI
