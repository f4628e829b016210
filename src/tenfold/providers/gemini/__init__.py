"""The Gemini API (v1beta) as an upstream: `wire.GeminiWire` maps it to and from the canonical chat types."""
