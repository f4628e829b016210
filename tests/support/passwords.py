"""A password hasher that is cheap enough for tests."""

from argon2 import PasswordHasher

from tenfold.access.passwords import Passwords


def cheap_passwords() -> Passwords:
    """argon2id with the least work it allows; the tests are about what is done with it."""
    return Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
