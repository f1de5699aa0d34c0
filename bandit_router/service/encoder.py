"""The embedder on a thread of its own, warmed before the first prompt."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from ..embedding import Embedder
from ..types import Vector, unit
from .errors import Unavailable

log = logging.getLogger(__name__)

MAX_WAITING = 1000
"""Prompts that may wait for the encoder at once; more are refused."""


class Encoder:
    """Embeds prompts one after another, off the event loop.

    Parameters
    ----------
    embedder
        What encodes; its first use may take seconds.
    """

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.failure: str | None = None
        # One thread: the encoder already uses every core, two would only fight over them.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="encoder")
        self._warm = asyncio.Event()
        self._waiting = 0

    @property
    def warm(self) -> bool:
        """Whether it can encode at once."""
        return self._warm.is_set() and self.failure is None

    async def start(self) -> None:
        """Load the weights by encoding one word; what goes wrong is kept in `failure`."""
        try:
            await self._run("warm")
        except Exception as error:
            log.exception("the encoder %r cannot be loaded", self.embedder.name)
            self.failure = f"the encoder {self.embedder.name!r} cannot be loaded: {error}"
        self._warm.set()

    async def embed(self, text: str) -> Vector:
        """Return the unit vector of `text`, waiting for the encoder to be warm.

        Raises
        ------
        Unavailable
            If it cannot be loaded, or too many prompts wait already.
        """
        if self._waiting >= MAX_WAITING:
            raise Unavailable(f"{MAX_WAITING} prompts wait for the encoder already")
        self._waiting += 1
        try:
            await self._warm.wait()
            if self.failure:
                raise Unavailable(self.failure)
            return await self._run(text)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let the thread end; prompts that still wait are dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, text: str) -> Vector:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._encode, text)

    def _encode(self, text: str) -> Vector:
        return unit(self.embedder.encode([text])[0])
