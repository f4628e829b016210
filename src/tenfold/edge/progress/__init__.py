"""What a job tells while it runs, as it comes: server-sent events, or a WebSocket on the same route."""

from tenfold.edge.progress.resource import JobEvents
from tenfold.edge.progress.socket import offered_key

__all__ = ["JobEvents", "offered_key"]
