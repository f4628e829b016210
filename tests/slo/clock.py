"""A clock whose wall can be set, as an operator or NTP does, while the monotonic time goes on."""

from datetime import UTC, datetime, timedelta


class SetClock:
    def __init__(self, monotonic_s: float = 1_000_000.0) -> None:
        self.at = monotonic_s
        self.wall = datetime(2026, 11, 30, tzinfo=UTC)

    def advance(self, seconds: float) -> None:
        self.at += seconds
        self.wall += timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self.wall

    def monotonic_s(self) -> float:
        return self.at
