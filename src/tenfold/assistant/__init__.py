"""The support assistant: a question in, a streamed answer with citations out; a product on the parts below."""
