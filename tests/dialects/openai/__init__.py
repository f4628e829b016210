"""OpenAI's dialect, on both sides of the canonical types."""
