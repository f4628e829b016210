"""Stage 2, admit: may this call run now? Refuses before anything costs money."""

from tenfold.core.errors import Overloaded, StoreUnavailable


class Gate:
    """Calls in flight of this process, and whether it may take more.

    `store_up` is kept by a health task: without the database no receipt could be promised, so no call begins.
    """

    def __init__(self, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self.in_flight = 0
        self.refused = 0
        self.store_up = True
        self.stopping = False

    def enter(self) -> None:
        """Raises Overloaded or StoreUnavailable; after a return `leave` is owed."""
        if not self.store_up:
            self.refused += 1
            raise StoreUnavailable(
                "The database is away; the call was not begun and cost nothing. Try again shortly.", retry_after_s=1
            )
        if self.stopping:
            self.refused += 1
            raise Overloaded("This process is stopping. Try again.", retry_after_s=1)
        if self.in_flight >= self._max_in_flight:
            self.refused += 1
            raise Overloaded(
                f"This process has {self.in_flight} calls in flight, the most it may have. Try again shortly.",
                retry_after_s=1,
            )
        self.in_flight += 1

    def leave(self) -> None:
        self.in_flight -= 1
