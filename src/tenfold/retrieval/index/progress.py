"""How far work on an index is, for whoever waits at a terminal."""

from collections.abc import Callable
from typing import Literal

Part = Literal["documents", "words", "vectors"]
Progress = Callable[[Part, int, int], None]
"""Called with what is made or compared, how much of it is done, and of how much."""


def nobody_looks(_part: Part, _done: int, _of: int) -> None:
    """The Progress of work that nobody waits for."""
