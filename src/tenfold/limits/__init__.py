"""Rate limits and fair share: requests, tokens, money and calls at once, of a key, a tenant, a model, an end user."""
