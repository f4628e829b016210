"""How clients of the Anthropic SDKs speak: the dialect, and the front door `hot.peek_messages`."""

from tenfold.edge.dialects.anthropic.dialect import AnthropicDialect as AnthropicDialect
