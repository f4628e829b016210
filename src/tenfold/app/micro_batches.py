"""Which providers let calls for embeddings wait for each other: those of models with `micro_batch_ms`."""

from tenfold.app.settings import Settings
from tenfold.providers.gemini import GeminiMerge
from tenfold.providers.merging import Merge
from tenfold.providers.micro_batching import MicroBatching, Window
from tenfold.providers.openai import OpenAIMerge
from tenfold.providers.ports import Provider


def micro_batched(settings: Settings, name: str, provider: Provider) -> Provider:
    """The provider `name` as it is, unless a model of it says otherwise. Where two do, of the same upstream model, the
    shorter wait and the smaller request hold."""
    windows: dict[str, Window] = {}
    for model, entry in settings.models.items():
        targets = [(entry.provider, entry.upstream)] if entry.provider else []
        targets += [(target.provider, target.upstream) for target in entry.targets]
        for seller, upstream in targets:
            if seller == name and entry.micro_batch_ms > 0:
                window = Window(seconds=entry.micro_batch_ms / 1000, inputs=entry.micro_batch_inputs)
                windows[upstream or model] = _smaller(windows.get(upstream or model, window), window)
    if not windows or provider.wire.dialect not in _MERGES:
        return provider
    return MicroBatching(provider, _MERGES[provider.wire.dialect], windows)


_MERGES: dict[str, Merge] = {"openai": OpenAIMerge(), "gemini": GeminiMerge()}


def _smaller(one: Window, other: Window) -> Window:
    return Window(seconds=min(one.seconds, other.seconds), inputs=min(one.inputs, other.inputs))
