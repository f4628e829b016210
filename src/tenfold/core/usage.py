"""Token usage of one call, in one convention for all providers."""

from msgspec import Struct


class Usage(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Token counts. `input_tokens` and `output_tokens` are totals: the cached, audio, image and reasoning
    counts are parts of them (the convention of OpenAI; Anthropic's figures are added up to it)."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0  # of any lifetime
    cache_write_1h_tokens: int = 0  # the part of cache_write_tokens with the one-hour lifetime
    input_audio_tokens: int = 0
    cache_audio_read_tokens: int = 0  # the part of cache_read_tokens that is audio
    output_audio_tokens: int = 0
    output_image_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})
