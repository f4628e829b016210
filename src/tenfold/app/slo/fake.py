"""A shelf in memory, for tests and for a process that is the only one."""

from collections.abc import Callable

from tenfold.app.slo.shelf import Busy


class FakeShelf:
    """`busy`: so many of the next changes find it taken. `full`: the disk takes nothing."""

    def __init__(self) -> None:
        self.kept = b""
        self.busy = 0
        self.full = False

    def change(self, step: Callable[[bytes], bytes]) -> None:
        if self.busy:
            self.busy -= 1
            raise Busy
        if self.full:
            raise OSError(28, "No space left on device")
        self.kept = step(self.kept)
