"""Password hashes (argon2id), computed off the event loop, a few at a time; unknown logins cost the same."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from tenfold.access.names import password_bytes


class Passwords:
    """`at_once` bounds memory: one hash takes 64 MiB by default (RFC 9106, second recommended option)."""

    def __init__(self, hasher: PasswordHasher | None = None, *, at_once: int = 2) -> None:
        self._hasher = hasher or PasswordHasher()
        self._slots = asyncio.Semaphore(at_once)
        self._nobody: str | None = None  # a hash no password fits, made on first use

    async def hash(self, password: str) -> str:
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password_bytes(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """`stored` is None for an unknown login: the same work is done, and the answer is no."""
        if self._nobody is None:
            self._nobody = await self.hash("")
        async with self._slots:
            fits = await asyncio.to_thread(self._fits, stored or self._nobody, password_bytes(password))
        return fits and stored is not None

    def needs_rehash(self, stored: str) -> bool:
        """The hash was made with other parameters than those in use now."""
        return self._hasher.check_needs_rehash(stored)

    def _fits(self, stored: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (Argon2Error, InvalidHashError):
            return False
