"""Events told to tenants' own endpoints: signed after Standard Webhooks, at least once, tried again for about a day."""
