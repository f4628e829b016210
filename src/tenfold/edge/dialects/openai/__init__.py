"""The dialect of OpenAI clients: chat completions and embeddings."""

from tenfold.edge.dialects.openai.dialect import OpenAIDialect

__all__ = ["OpenAIDialect"]
