"""Settings to objects to ASGI app, worker and CLI: the only place that knows concrete classes."""
