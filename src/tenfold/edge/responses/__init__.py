"""The routes below `/v1/responses`."""

from tenfold.edge.responses.codec import ResponsesCodec
from tenfold.edge.responses.resource import ResponsesResource

__all__ = ["ResponsesCodec", "ResponsesResource"]
