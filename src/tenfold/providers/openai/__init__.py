"""Upstreams that speak OpenAI's wire: OpenAI itself, Azure, and the many servers that are compatible with it."""
