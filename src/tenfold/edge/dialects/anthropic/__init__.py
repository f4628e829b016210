"""How Anthropic's clients speak: `dialect.AnthropicDialect`, and the front door `hot.peek_messages`."""
