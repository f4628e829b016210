"""What a run stands on: a folder, a database, a tenant with its key, the faulty provider, and a Tenfold before it."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tenfold.app.chaos.cast import PlannedTenant
from tenfold.app.chaos.people import settle_in
from tenfold.app.chaos.processes import ChaosFailed, FaultyProcess, TenfoldProcess
from tenfold.app.database import Database
from tenfold.app.settings import load as load_settings


class Stage:
    """`key`: the secret of an API key. Tenfold is started by `serving`, as often as there are configurations."""

    def __init__(self, folder: Path, key: str, provider: FaultyProcess) -> None:
        self.key = key
        self.provider = provider
        self._folder = folder

    @asynccontextmanager
    async def serving(self, configuration: Callable[[int], str], *, workers: int = 1) -> AsyncIterator[TenfoldProcess]:
        """A Tenfold for as long as the block runs; `configuration` is told the provider's port. Raises ChaosFailed."""
        tenfold = TenfoldProcess(self._folder, workers=workers)
        tenfold.config.write_text(configuration(self.provider.port), encoding="utf-8")
        tenfold.log.unlink(missing_ok=True)  # it tells the port of the one before
        try:
            await tenfold.start()
            yield tenfold
        except BaseException:
            await tenfold.stop()
            raise
        if not await tenfold.stop():
            raise ChaosFailed(f"Tenfold did not come to an orderly end:\n{tenfold.last_words()}")


@asynccontextmanager
async def staged(seed: int) -> AsyncIterator[Stage]:
    """However it ends, no process and no file is left. Raises ChaosFailed, StoreUnavailable."""
    folder = Path(tempfile.mkdtemp(prefix="tenfold-chaos-"))
    try:
        async with AsyncExitStack() as resources:
            home = folder / "home"
            home.mkdir(mode=0o700)
            database = Database(load_settings(None, home, {}))
            await database.start()
            resources.push_async_callback(database.stop)
            await database.migrate()
            [person] = await settle_in(database, [PlannedTenant(slug="chaos", keys=1)])
            provider = FaultyProcess(seed=seed)
            resources.push_async_callback(provider.stop)
            await provider.start()
            yield Stage(folder, person.keys[0], provider)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
