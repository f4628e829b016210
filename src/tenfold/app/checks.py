"""What `tenfold doctor` and `tenfold provider check` look at. Every failure says what to do."""

import shutil
import sys
from collections.abc import Iterator

from tenfold.app.database import open_database
from tenfold.app.settings import Settings, SettingsError, environment
from tenfold.app.upstreams import OFFLINE, Seat, build_providers, unpriced
from tenfold.core.clock import SystemClock
from tenfold.core.errors import StoreUnavailable, TenfoldError
from tenfold.ledger.prices import PriceBook
from tenfold.providers.offline.embedder import OfflineEmbedder
from tenfold.providers.offline.provider import OfflineProvider
from tenfold.providers.openai import OpenAIWire
from tenfold.providers.ports import Provider
from tenfold.store import migration_status

Check = tuple[str, bool, str]  # what, fine, in words

_NEEDED_BYTES = 1 << 30


async def check_providers(settings: Settings, name: str | None = None) -> list[Check]:
    """Each configured provider, or the one of that name; the offline models when none is configured.
    Raises SettingsError for a name that is not configured or a key that is not there."""
    if name is not None and name not in settings.providers:
        raise SettingsError(f"no provider {name!r} is configured; known: {', '.join(settings.providers) or 'none'}")
    offline = OfflineProvider(OpenAIWire(), OfflineEmbedder(), SystemClock())
    seats = build_providers(settings, environment(), offline)
    wanted = [(_label(seat, seated), seat.provider) for seated in seats.values() for seat in seated]
    try:
        return [
            await _provider(label, provider)
            for label, provider in wanted or [(OFFLINE, offline)]
            if name in (None, label.partition(",")[0])
        ]
    finally:
        for provider in {offline, *(provider for _, provider in wanted)}:
            await provider.aclose()


def _label(seat: Seat, seated: list[Seat]) -> str:
    return f"{seat.name}, key {seat.key}" if len(seated) > 1 else seat.name


async def _provider(label: str, provider: Provider) -> Check:
    try:
        return f"provider {label}", True, await provider.check()
    except TenfoldError as error:
        return f"provider {label}", False, error.message


async def check_everything(settings: Settings) -> list[Check]:
    results = [_python(), _disk(settings), *_prices(settings), await _database(settings)]
    try:
        results += await check_providers(settings)
    except SettingsError as error:
        results.append(("providers", False, str(error)))
    return results


def _python() -> Check:
    return "python", sys.version_info >= (3, 11), sys.version.split()[0]


def _disk(settings: Settings) -> Check:
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.home).free
    words = f"{free >> 20} MiB free at {settings.home}"
    return "disk", free >= _NEEDED_BYTES, words if free >= _NEEDED_BYTES else f"{words}: make room, 1 GiB is needed"


def _prices(settings: Settings) -> Iterator[Check]:
    book = PriceBook.load()
    yield "prices", True, f"price data of {book.generated}"
    for model, provider in unpriced(settings, book, SystemClock().now()):
        yield (
            f"price of {model}",
            False,
            f"nobody knows what it costs at {provider}, so its calls are refused: set "
            f'[models."{model}"] price = {{ input = "0.50", output = "1.50" }} (USD per million tokens; 0 where it '
            "costs nothing), or [budgets] default_price",
        )


async def _database(settings: Settings) -> Check:
    try:
        async with open_database(settings, migrated=False) as (database, store):
            await store.ping()
            pending = [file.name for file in await migration_status(database.dsn) if file.state != "applied"]
    except StoreUnavailable as error:
        return "database", False, error.message
    where = "embedded Postgres" if database.embedded else "configured Postgres"
    if pending:
        return (
            "database",
            False,
            f"{where} answers, migrations are not applied ({', '.join(pending)}): run `tenfold db migrate`",
        )
    return "database", True, f"{where} answers, the schema is up to date"
