"""Conversations that the Messages API keeps for its clients: a request names the reply it goes on from."""

from typing import Any

from tests.support.upstream.conversation import Json, Refused

_OF_THE_THREAD = ("system", "tools")  # given when it is made, and taken from it afterwards


class Threads:
    def __init__(self) -> None:
        self._kept: dict[str, Json] = {}  # by the id of the reply: the request so far, and the reply

    def whole(self, body: Json) -> Json:
        """The request with all that the thread holds. Raises Refused."""
        thread = body.pop("thread", None)
        if thread is None or thread["type"] == "create":
            return body
        kept = self._kept.get(thread["previous_message_id"])
        if kept is None:
            raise Refused("No usable thread was found.", status=404, details={"error_code": "thread_not_found"})
        for name in _OF_THE_THREAD:
            if name in body:
                raise Refused(f"{name}: cannot be given to a thread that goes on")
        return {**body, **kept, "messages": [*kept["messages"], *body["messages"]]}

    def keep(self, body: Json, reply: Json) -> None:
        said: Any = {"role": "assistant", "content": reply["content"]}
        of_the_thread = {name: body[name] for name in _OF_THE_THREAD if name in body}
        self._kept[reply["id"]] = {"messages": [*body["messages"], said], **of_the_thread}
