"""Passwords are hashed with argon2id, off the loop, and nobody's password fits nothing."""

from argon2 import PasswordHasher

from tenfold.access.passwords import Passwords
from tests.support.passwords import cheap_passwords


async def test_a_password_fits_its_own_hash_only() -> None:
    passwords = cheap_passwords()
    stored = await passwords.hash("correct horse")

    assert stored.startswith("$argon2id$")
    assert await passwords.verify(stored, "correct horse")
    assert not await passwords.verify(stored, "correct horsf")
    assert not await passwords.verify("not a hash", "correct horse")


async def test_an_unknown_login_has_no_password_not_even_the_empty_one() -> None:
    passwords = cheap_passwords()

    assert not await passwords.verify(None, "")
    assert not await passwords.verify(None, "anything")


async def test_the_same_password_composed_otherwise_fits() -> None:
    passwords = cheap_passwords()

    assert await passwords.verify(await passwords.hash("caf\u00e9 cr\u00e8me"), "cafe\u0301 cre\u0300me")


async def test_hashes_of_older_parameters_are_told_apart() -> None:
    stronger = Passwords(PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))

    assert stronger.needs_rehash(await cheap_passwords().hash("correct horse"))
    assert not stronger.needs_rehash(await stronger.hash("correct horse"))
