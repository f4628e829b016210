"""What is known of the servers that speak OpenAI's wire, by host. As of 2026-11; unknown hosts get the cautious set."""

import re
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

_REASONING_MODEL = re.compile(r"(?:^|/)(?:o\d|gpt-(?:[5-9]|\d\d))")


class UpstreamFacts(Struct, frozen=True, kw_only=True):
    """How one server differs from the rest. The defaults suit vLLM, SGLang, Ollama, llama.cpp and servers unknown."""

    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    key_header: Literal["authorization", "api-key"] = "authorization"
    usage_option: bool = True  # knows stream_options.include_usage; the others send usage unasked
    top_k: bool = True  # knows the sampling parameter OpenAI has not
    seed_name: str = "seed"
    cache_control: bool = False  # knows Anthropic's caching marks
    thoughts_name: str | None = None  # the message member that takes reasoning back
    thought_signatures: bool = False  # Gemini's, in extra_content of tool calls
    file_urls: bool = False  # takes a document by URL
    ends_with_done: bool = True  # False: a clean end after the last finish_reason is the end

    def output_limit_name(self, model: str) -> str:
        """OpenAI's reasoning models refuse the old name, wherever they are served."""
        return "max_completion_tokens" if is_reasoning_model(model) else self.max_tokens_name


COMPATIBLE = UpstreamFacts()
OPENAI = UpstreamFacts(max_tokens_name="max_completion_tokens", top_k=False)

_BY_HOST = {
    "api.openai.com": OPENAI,
    "openai.azure.com": UpstreamFacts(max_tokens_name="max_completion_tokens", top_k=False, key_header="api-key"),
    "mistral.ai": UpstreamFacts(usage_option=False, top_k=False, seed_name="random_seed"),
    "deepseek.com": UpstreamFacts(top_k=False, thoughts_name="reasoning_content"),
    "groq.com": UpstreamFacts(max_tokens_name="max_completion_tokens", top_k=False),
    "x.ai": UpstreamFacts(max_tokens_name="max_completion_tokens", top_k=False),
    "openrouter.ai": UpstreamFacts(cache_control=True, thoughts_name="reasoning", file_urls=True),
    "generativelanguage.googleapis.com": UpstreamFacts(top_k=False, thought_signatures=True),
}


def upstream_facts(base_url: str) -> UpstreamFacts:
    """The facts of the server at `base_url`, by its host or a parent domain of it."""
    host = urlsplit(base_url).hostname or ""
    for domain, facts in _BY_HOST.items():
        if host == domain or host.endswith("." + domain):
            return facts
    return COMPATIBLE


def is_reasoning_model(model: str) -> bool:
    """OpenAI's own reasoning models, by name (`o3`, `gpt-5.2`, `openai/gpt-5-mini`)."""
    return _REASONING_MODEL.search(model) is not None
