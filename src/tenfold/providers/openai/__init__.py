"""Upstreams that speak OpenAI's wire: OpenAI itself, Azure, and the many servers that are compatible with it."""

from tenfold.providers.openai.facts import UpstreamFacts, upstream_facts
from tenfold.providers.openai.merging import OpenAIMerge
from tenfold.providers.openai.wire import OpenAIWire

__all__ = ["OpenAIMerge", "OpenAIWire", "UpstreamFacts", "upstream_facts"]
