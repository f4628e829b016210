"""How often the semantic cache answers, how often wrongly, and how fast: over streams of ../shared/data."""
