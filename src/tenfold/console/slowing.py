"""How often whoever has a publishable key may ask: everyone can read that one."""

from ipaddress import ip_address

from tenfold.access.throttle import Throttle
from tenfold.core.clock import Clock


class Slow:
    """How often may be asked, in this process: from a public address (another one is a proxy's, and all visitors have
    it), in a ticket, and with a key; and how often a page that waits may look, which it does once a second. A key that
    stands in a page is everyone's, whether they ask by the widget or from a program."""

    def __init__(self, clock: Clock) -> None:
        self._of_address = Throttle(clock, burst=10, interval_s=6.0)
        self._of_ticket = Throttle(clock, burst=10, interval_s=6.0)
        self._of_key = Throttle(clock, burst=60, interval_s=1.0)
        self._looks = Throttle(clock, burst=60, interval_s=0.5)

    def ask(self, address: str, ticket: str, key: str) -> None:
        """Raises RateLimited."""
        if _is_public(address):
            self._of_address.take(address)
        if ticket:
            self._of_ticket.take(ticket)
        self._of_key.take(key)

    def look(self, who: str) -> None:
        """Raises RateLimited."""
        self._looks.take(who)


def _is_public(address: str) -> bool:
    try:
        return ip_address(address).is_global
    except ValueError:
        return False
