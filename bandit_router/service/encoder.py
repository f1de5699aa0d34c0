"""The embedder off the event loop: batches, a cache, one computation for equal prompts."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from time import monotonic

from ..embedding import Embedder
from ..exceptions import EmbedderError, InvalidInput
from ..types import Vector
from .errors import Unavailable
from .gathering import gather

log = logging.getLogger(__name__)

MAX_WAITING = 1000
"""Prompts that may wait for the encoder at once; more are refused."""

IN_A_ROW, HELD_S = 16, 0.04
"""With so many prompts encoded, or the first of them begun so long ago, no more are waited for."""

KEPT_CHARS = 8_192
"""Of longer prompts no vector is kept: the cache would hold their texts too."""

_Found = tuple[str, Vector | Exception]


class Encoder:
    """Embeds prompts in batches: what arrives while it is busy shares one of the next.

    A prompt that finds it idle is encoded at once, alone. Equal prompts that are under way
    together are encoded once, and the vectors of the last different ones are kept.

    Parameters
    ----------
    embedder
        What encodes; its first use may take seconds.
    batch_size
        Prompts encoded at once, at most.
    cache_size
        Vectors kept.
    """

    def __init__(self, embedder: Embedder, *, batch_size: int = 64, cache_size: int = 0) -> None:
        self.embedder = embedder
        self.failure: str | None = None
        # One thread, unless it says otherwise: an encoder uses every core by itself.
        self._idle = getattr(embedder, "parallel", 1)
        self._threads = ThreadPoolExecutor(self._idle, thread_name_prefix="encoder")
        self._instant = getattr(embedder, "instant", False)
        self._single = getattr(embedder, "single", False)
        self._batch_size = 1 if self._single else batch_size
        self._cache_size = cache_size
        self._cache: OrderedDict[str, Vector] = OrderedDict()
        self._under_way: dict[str, list[asyncio.Future[Vector]]] = {}
        self._changing = Lock()  # of the queue and of how many threads are idle
        self._queue: deque[str] = deque()
        self._found: list[_Found] = []  # not handed over yet, the first of them since
        self._since = 0.0
        self._turn: list[tuple[str, asyncio.Future[Vector]]] = []  # of one that is instant
        self._warm = asyncio.Event()
        self._waiting = 0

    @property
    def warm(self) -> bool:
        """Whether it can encode at once."""
        return self._warm.is_set() and self.failure is None

    async def start(self) -> None:
        """Load the weights by encoding one word; what goes wrong is kept in `failure`."""
        try:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._threads, self.embedder.encode, ["warm"])
        except EmbedderError as error:  # it may be back when the first prompt comes
            log.warning("the encoder %r does not answer yet: %s", self.embedder.name, error)
        except Exception as error:
            log.exception("the encoder %r cannot be loaded", self.embedder.name)
            self.failure = f"the encoder {self.embedder.name!r} cannot be loaded: {error}"
        self._warm.set()

    def embed(self, text: str) -> Awaitable[Vector]:
        """Return the unit vector of `text`, once awaited; it waits for the encoder to be warm.

        Awaiting raises `Unavailable` if it cannot be loaded, or too many prompts wait already; of
        the latter a warm encoder that is instant tells before.
        """
        if self._instant and self.warm and text not in self._cache:
            self._refuse()
            return self._at_once(text)
        return self._in_time(text)

    def _refuse(self) -> None:
        # Who asked may have gone, what was asked for has not; of an instant one all is in a turn.
        if max(self._waiting, len(self._under_way), len(self._turn)) >= MAX_WAITING:
            raise Unavailable(f"{MAX_WAITING} prompts wait for the encoder already")

    async def _in_time(self, text: str) -> Vector:
        self._refuse()
        self._waiting += 1
        try:
            if not self._warm.is_set():
                await self._warm.wait()
            if self.failure:
                raise Unavailable(self.failure)
            known = self._cache.get(text)
            if known is not None:
                self._cache.move_to_end(text)
                return known
            return await (self._at_once(text) if self._instant else self._shared(text))
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let the threads end; prompts that still wait are dropped."""
        self.failure = self.failure or "the service is being closed"
        with self._changing:
            self._queue.clear()
        for asked in self._under_way.values():
            for future in asked:
                future.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _at_once(self, text: str) -> asyncio.Future[Vector]:
        """Return the vector of a text to come, made on the event loop: a thread would cost more.

        All that is asked for meanwhile is encoded in a row, and decided in a row after that.
        """
        if not self._turn:
            gather(lambda: len(self._turn), self._encode_turn)
        future: asyncio.Future[Vector] = asyncio.get_running_loop().create_future()
        self._turn.append((text, future))
        return future

    def _encode_turn(self) -> None:
        turn, self._turn = self._turn, []
        self._fulfil([one for one in turn if not one[1].done()])  # who asked has gone

    def _fulfil(self, turn: list[tuple[str, asyncio.Future[Vector]]]) -> None:
        """Let every future have its vector, or why there is none: theirs alone."""
        if not turn:
            return
        try:
            vectors = self.embedder.encode([text for text, _ in turn])
            found = list(zip(turn, vectors, strict=True))
        except Exception as error:
            if len(turn) == 1:
                turn[0][1].set_exception(error)
            else:
                for one in turn:
                    self._fulfil([one])
            return
        for (text, future), vector in found:
            self._keep(text, vector)
            future.set_result(vector)

    def _shared(self, text: str) -> asyncio.Future[Vector]:
        """Return the vector of a text to come, from the batch that it is in, or will be.

        It is encoded also if who asks leaves: others may wait for it, or ask for it again.
        """
        future: asyncio.Future[Vector] = asyncio.get_running_loop().create_future()
        asked = self._under_way.setdefault(text, [])
        asked.append(future)  # of each caller's own: one that leaves takes no other with it
        if len(asked) == 1:
            self._enqueue(text)
        return future

    def _enqueue(self, text: str) -> None:
        """Let a text be encoded: alone if a thread is idle, else in one of the next batches."""
        with self._changing:
            if not self._idle:
                self._queue.append(text)
                return
            self._idle -= 1
        self._threads.submit(self._work, asyncio.get_running_loop(), [text])

    # -- in the encoder's threads -------------------------------------------------------------

    def _work(self, loop: asyncio.AbstractEventLoop, texts: list[str]) -> None:
        """Encode `texts`, and what waits by then: the event loop may be too busy to hand it out."""
        while texts:
            started = monotonic()
            texts, ready = self._next(self._encoded(texts), started)
            if ready:
                with suppress(RuntimeError):  # the loop was closed meanwhile
                    loop.call_soon_threadsafe(self._settle, ready)

    def _next(self, found: list[_Found], started: float) -> tuple[list[str], list[_Found]]:
        """Return what to encode together, if anything waits, and what to hand over now.

        What is encoded one by one is handed over in a row, as much as still waits: that is answered
        faster then (see `gathering`), and before the encoder runs out of work.
        """
        with self._changing:
            if not self._found:
                self._since = started
            self._found += found
            # Half of what waits: the other half keeps it busy while answers to this are written.
            size = min(self._batch_size, (len(self._queue) + 1) // 2)
            texts = [self._queue.popleft() for _ in range(size)]
            self._idle += not texts
            if (
                self._single
                and len(self._found) < min(len(self._queue), IN_A_ROW)
                and monotonic() - self._since < HELD_S
            ):
                return texts, []
            ready, self._found = self._found, []
            return texts, ready

    def _encoded(self, texts: list[str]) -> list[_Found]:
        """Return the vector of each text, or why there is none."""
        try:
            return list(zip(texts, self.embedder.encode(texts), strict=True))
        except InvalidInput as error:
            if len(texts) == 1:
                return [(texts[0], error)]
            # One that cannot be encoded must not take the others with it.
            return [found for text in texts for found in self._encoded([text])]
        except BaseException as error:  # nobody may wait for ever on a thread that has died
            log.warning("the encoder %r failed: %s", self.embedder.name, error)
            return [(text, Unavailable(f"the encoder failed: {error}")) for text in texts]

    # -- on the event loop --------------------------------------------------------------------

    def _settle(self, ready: list[_Found]) -> None:
        for text, result in ready:
            if not isinstance(result, Exception):
                self._keep(text, result)
            for future in self._under_way.pop(text):
                if future.done():  # who asked has gone, or it was closed meanwhile
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    def _keep(self, text: str, vector: Vector) -> None:
        if self._cache_size and len(text) <= KEPT_CHARS:
            self._cache[text] = vector.copy()  # a row would keep its whole batch
            if len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)
