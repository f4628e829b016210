"""A password hasher that is cheap enough for tests."""

from argon2 import PasswordHasher

from tenfold.access.passwords import Passwords


def cheap_passwords(*, time_cost: int = 1) -> Passwords:
    """argon2id with the least work it allows; the tests are about what is done with it."""
    return Passwords(PasswordHasher(time_cost=time_cost, memory_cost=8, parallelism=1))
