"""How a connection to Postgres is made: role, search path, timeouts and JSON codecs, the same for every one."""

from typing import Any, TypeAlias

import asyncpg
import msgspec

from tenfold.store.errors import StartupError, translated

APP_ROLE = "tenfold_app"  # neither owner nor superuser: row-level security binds it
SEARCH_PATH = "tenfold, public, extensions"  # some vendors install pgvector into `extensions`

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_JSONB_VERSION = b"\x01"  # first byte of jsonb on the wire (jsonb_recv)
_encode_json = msgspec.json.encode


def _encode_jsonb(value: Any) -> bytes:
    return _JSONB_VERSION + _encode_json(value)


def _decode_jsonb(block: bytes) -> Any:
    return msgspec.json.decode(memoryview(block)[1:])


async def set_codecs(connection: Connection) -> None:
    """json and jsonb columns are plain Python values (or msgspec Structs, when written)."""
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_encode_jsonb, decoder=_decode_jsonb, format="binary"
    )
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=_encode_json, decoder=msgspec.json.decode, format="binary"
    )


def session_settings(*, role: str | None, statement_timeout_s: float) -> dict[str, str]:
    settings = {
        "application_name": "tenfold",
        "search_path": SEARCH_PATH,
        "statement_timeout": str(int(statement_timeout_s * 1000)),
        # A transaction is one step: one that idles this long waits for something it must not wait for.
        "idle_in_transaction_session_timeout": "15000",
        "timezone": "UTC",
        "jit": "off",  # short queries: compiling costs more than it saves
    }
    if role is not None:
        settings["role"] = role
    return settings


async def connect(
    dsn: str, *, role: str | None, connect_timeout_s: float, statement_timeout_s: float, **settings: str
) -> Connection:
    """One connection outside of the pool; with `role` None it stays the user of the DSN (the owner).

    Raises StoreUnavailable; StartupError when the login or the role is refused."""
    with translated():
        try:
            return await asyncpg.connect(
                dsn,
                timeout=connect_timeout_s,
                command_timeout=statement_timeout_s + 1,  # for a server that hangs: its own timeout comes first
                server_settings=session_settings(role=role, statement_timeout_s=statement_timeout_s) | settings,
            )
        except asyncpg.InvalidParameterValueError as error:
            raise StartupError(f"The role {role} does not exist yet. Run `tenfold db migrate`.") from error
        except (asyncpg.ClientConfigurationError, ValueError) as error:
            raise StartupError(
                "database.url is not a Postgres URL: postgresql://user:password@host:port/name"
            ) from error
