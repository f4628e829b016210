"""What lives as long as the process: tasks that run until its end, and what is closed after them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, TypeVar

T = TypeVar("T")
Work = Coroutine[Any, Any, None]
Step = Callable[[], Awaitable[object] | None]

logger = logging.getLogger(__name__)


class Host:
    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = AsyncExitStack()

    def keep(self, name: str, work: Work) -> None:
        """Run until the end; a task that ends with an error is a bug, and is logged as one."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(_log_failure)
        self._tasks.append(task)

    def keep_all(self, *tasks: tuple[str, Work]) -> None:
        for name, work in tasks:
            self.keep(name, work)

    def repeat(self, name: str, step: Step, every_s: float) -> None:
        self.keep(name, _repeat(step, every_s))

    async def enter(self, context: AbstractAsyncContextManager[T]) -> T:
        """It is left at the end."""
        return await self._closing.enter_async_context(context)

    def finish(self, step: Step) -> None:
        """Done at the end, before what was named earlier."""
        self._closing.push_async_callback(_do, step)

    async def end(self) -> None:
        """Tasks are cancelled, then everything is closed in the reverse order."""
        for task in reversed(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._closing.aclose()


async def _do(step: Step) -> None:
    done = step()
    if done is not None:
        await done


async def _repeat(step: Step, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        await _do(step)


def _log_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("the task %s ended", task.get_name(), exc_info=task.exception())
