"""The dialect of OpenAI's Responses API, over any upstream: pure functions over bytes and values.

What is stored, chained and run in the background is another's; here a response is one request and its reply. Replies
may be a cache's, or another caller's of the same flight: who answers a client stamps on them whose they are (`Stamp`).
"""

from tenfold.edge.dialects.responses.checks import look
from tenfold.edge.dialects.responses.dialect import ResponsesDialect
from tenfold.edge.dialects.responses.echo import Echo, blank
from tenfold.edge.dialects.responses.items import input_items
from tenfold.edge.dialects.responses.schema import Body
from tenfold.edge.dialects.responses.stamp import Stamp, StreamEvent

__all__ = ["Body", "Echo", "ResponsesDialect", "Stamp", "StreamEvent", "blank", "input_items", "look"]
