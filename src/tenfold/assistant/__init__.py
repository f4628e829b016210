"""The support assistant: a product on the parts below."""
