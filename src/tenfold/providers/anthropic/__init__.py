"""The Anthropic Messages API as an upstream: `wire.AnthropicWire` maps it to and from the canonical chat types."""
