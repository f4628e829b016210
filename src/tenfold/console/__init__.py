"""Server-rendered pages for tenants, and the JSON API beside them. Pages, no rules and no SQL."""
