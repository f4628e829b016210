"""The Gemini API (v1beta) as an upstream: `GeminiWire` maps it to and from the canonical chat types."""

from tenfold.providers.gemini.merging import GeminiMerge
from tenfold.providers.gemini.wire import GeminiWire

__all__ = ["GeminiMerge", "GeminiWire"]
