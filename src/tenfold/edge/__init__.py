"""HTTP routes and client dialects. No rules, no SQL."""
