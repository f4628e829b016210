"""The Anthropic Messages API as an upstream, mapped to and from the canonical chat types."""

from tenfold.providers.anthropic.wire import AnthropicWire as AnthropicWire
