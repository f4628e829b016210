"""Measures what Tenfold costs beside a bare proxy and other gateways. It leaves nothing behind."""
