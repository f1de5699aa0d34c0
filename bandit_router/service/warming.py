"""What must be done before every request can be answered at once, and what goes on beside."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from ..config import Settings
from ..precompile import precompile
from .caretaker import Caretaker
from .encoder import Encoder
from .journal import Journal
from .recorder import Recorder

log = logging.getLogger(__name__)

_COMPILER = ThreadPoolExecutor(1, "compile")
"""One for all tenants: who only waits for its turn must not hold the threads that others need."""

COMPILING = "compiling what decisions run: once for this processor, later it is only loaded"


class Warming:
    """Compiles, then folds the log; loads the encoder meanwhile; then keeps the log tidy.

    Parameters
    ----------
    recorder
        Starts once all is compiled.
    encoder
        None if callers bring vectors.
    settings
        All of them.
    """

    def __init__(self, recorder: Recorder, encoder: Encoder | None, settings: Settings) -> None:
        self._recorder = recorder
        self._encoder = encoder
        self._settings = settings
        self._tasks: list[asyncio.Task[None]] = []
        self._loading: asyncio.Task[None] | None = None
        self._stop = Event()

    def start(self) -> None:
        """Begin, in the background."""
        loop = asyncio.get_running_loop()
        if isinstance(self._recorder, Journal):  # else it is for the learner to do
            caretaker = Caretaker(self._recorder, self._settings.store)
            self._tasks.append(loop.create_task(caretaker.run()))
        if self._encoder is not None:
            self._loading = loop.create_task(self._encoder.start())
            self._tasks.append(self._loading)
        self._tasks.append(loop.create_task(self._compile()))

    async def _compile(self) -> None:
        """Let there be a router once all is compiled: the event loop must not wait for that."""
        folding, self._recorder.doing = self._recorder.doing, COMPILING
        try:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(_COMPILER, precompile, self._settings, self._stop)
        except Exception:  # then each is compiled when it is called
            log.exception("not everything could be compiled ahead")
        self._recorder.doing = folding
        self._recorder.start()

    async def done(self) -> None:
        """Wait until all is compiled, the log folded and the encoder loaded."""
        await self._recorder.wait()
        if self._loading is not None:
            await asyncio.shield(self._loading)

    async def close(self) -> None:
        """Stop; what is being compiled is not waited for."""
        self._stop.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
