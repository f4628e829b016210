"""Upstreams: transport, wire mapping of each provider dialect, and the facts about them."""
