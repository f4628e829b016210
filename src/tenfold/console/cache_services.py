"""What the JSON API of the semantic cache stands on."""

from dataclasses import dataclass

from tenfold.cache.semantic.handlers import CacheAdmin


@dataclass(frozen=True, kw_only=True)
class CacheServices:
    admin: CacheAdmin
