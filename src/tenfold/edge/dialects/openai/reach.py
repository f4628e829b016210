"""What a chat request lets the model read beside its text: pictures, documents, the web. Facts for the bound."""

import re
from collections.abc import Collection

from tenfold.core.call import Reach
from tenfold.edge.dialects.openai.schema import AssistantMessage, ChatBody, ContentPart, FunctionMessage, ImageUrl

_TEXT = frozenset({"text", "refusal", "input_text", "output_text"})
_OWN_TOOLS = frozenset({"function", "custom"})
ROUNDS = 10  # as Anthropic's servers; nobody else says how often theirs go round
PICTURE = re.compile(r"(?:data:image/|https?://[^?#]*\.(?:png|jpe?g|webp|gif|heic|heif)(?:[?#]|$))", re.IGNORECASE)

# Members beyond OpenAI's description that shape the answer and fetch nothing.
HARMLESS = frozenset(
    {
        "chat_template_kwargs",
        "enable_thinking",
        "guided_choice",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "ignore_eos",
        "include_reasoning",
        "length_penalty",
        "min_p",
        "min_tokens",
        "mirostat",
        "prompt_mode",
        "random_seed",
        "reasoning_format",
        "repetition_penalty",
        "safe_prompt",
        "skip_special_tokens",
        "stop_token_ids",
        "thinking",
        "thinking_budget",
        "top_a",
        "typical_p",
    }
)


def reach_of(chat: ChatBody, unknown: Collection[str]) -> Reach | None:
    """`unknown`: members of the body that ChatBody has no field for. None: nothing beside its text."""
    if (
        chat.web_search_options
        or (unknown and not HARMLESS.issuperset(unknown))
        or (chat.tools and any(type(tool.type) is str and tool.type not in _OWN_TOOLS for tool in chat.tools))
    ):
        return Reach(windows=ROUNDS, rounds=ROUNDS, echoed=bool(chat.prediction))
    images = image_bytes = 0
    more = False
    for message in chat.messages:
        if type(message) is FunctionMessage:
            continue
        if type(message) is AssistantMessage and message.audio:
            more = True
        if type(message.content) is list:
            for part in message.content:
                if part.type in _TEXT:
                    continue
                url = _image_url(part)
                if url is None or not PICTURE.match(url):
                    more = True
                    continue
                images += 1
                if url.startswith("data:"):
                    image_bytes += len(url)
    if not images and not more and not chat.prediction:
        return None
    return Reach(images=images, image_bytes=image_bytes, windows=int(more), echoed=bool(chat.prediction))


def _image_url(part: ContentPart) -> str | None:
    """None for a part of another kind."""
    image = part.image_url
    if part.type != "image_url":
        return None
    return image.url if type(image) is ImageUrl else image if type(image) is str else None
