"""What stands behind the pages: the recent past, the drawing, and who is looking right now.

Nothing is computed while nobody looks. Whoever does looks at one shared state: the log is read
once a second, the drawing is updated as the map changes, and slow work is done on threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import numpy as np

from ..clustering.layout import METHOD, Layout
from ..exceptions import StoreError
from ..router import Router
from ..store import Log
from .chronicle import Chronicle, News
from .engine import Engine
from .overview import drift, growth, overview, story

log = logging.getLogger(__name__)

T = TypeVar("T")
NOTE = "layout"
TICK_SECONDS = 1.0
_QUEUE = 64  # messages a slow reader may be behind before it is dropped
_FLASHES = 60  # decisions of one tick that are shown one by one
_DRAW_SECONDS = 4.0  # at most so often, and never more than a tenth of the time
_NEW_SECONDS = 1.0  # the same while a cluster has no place yet
_SAVE_SECONDS = 60.0

Message = tuple[str, dict[str, Any]]


class Watch:
    """One for an application; see the module.

    Parameters
    ----------
    engine
        Whose log and map are watched.
    """

    def __init__(self, engine: Engine) -> None:
        self.chronicle = Chronicle()
        self.layout = Layout()
        self._engine = engine
        self._lock = asyncio.Lock()
        self._readers: set[asyncio.Queue[Message | None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._drawn = False
        self._drawn_at = -math.inf
        self._spent = 0.0
        self._saved_at = 0.0

    @property
    def readers(self) -> int:
        """How many read `/events`."""
        return len(self._readers)

    # -- looking ------------------------------------------------------------------------------

    async def look(self, view: Callable[[Chronicle], T]) -> T:
        """Return a view of the recent past, up to date."""
        async with self._lock:
            return await asyncio.to_thread(self._look, view)

    def _look(self, view: Callable[[Chronicle], T]) -> T:
        self.chronicle.catch_up(self._engine.store)
        return view(self.chronicle)

    async def overview(self) -> dict[str, Any]:
        """See `overview.overview`."""
        return await self.look(overview)

    async def growth(self) -> dict[str, Any]:
        """See `overview.growth`, with where every cluster was drawn."""
        await self.draw()
        return {**await self.look(growth), "positions": self.layout.points()}

    async def story(self, cluster: int) -> dict[str, Any]:
        """See `overview.story`, with what became of the cluster so far."""
        store = self._engine.store
        found = await self.look(lambda chronicle: story(chronicle, cluster))
        lineage = await asyncio.to_thread(store.lineage, cluster)
        return {**found, "lineage": msgspec.to_builtins(lineage[-200:])}

    async def places(self) -> dict[str, Any]:
        """See `place_answer`."""
        await self.draw()
        models = list((await self._engine.wait()).models)
        return await self.look(lambda chronicle: place_answer(self.layout, chronicle, models))

    # -- drawing ------------------------------------------------------------------------------

    async def draw(self) -> None:
        """Update the drawing, unless that was done just now."""
        router = await self._engine.wait()
        async with self._lock:  # who comes while it is drawn waits for that drawing
            ids, centres = centres_of(router)
            placed = all(id_ in self.layout.positions for id_ in ids)
            now = time.monotonic()
            pause = max(_DRAW_SECONDS if placed else _NEW_SECONDS, 10.0 * self._spent)
            if now - self._drawn_at < pause:
                return
            await asyncio.to_thread(self._draw, ids, centres)
            self._drawn, self._drawn_at = True, now
            self._spent = time.monotonic() - now

    def _draw(self, ids: list[int], centres: Any) -> None:
        if not self._drawn:
            self.layout = saved_layout(self._engine.store)
        self.layout.update(ids, centres)
        if time.monotonic() - self._saved_at > _SAVE_SECONDS:
            self._saved_at = time.monotonic()
            self.save()

    def save(self) -> None:
        """Keep the drawing, so that the map looks the same after a restart."""
        if not self.layout.positions:
            return
        try:
            self._engine.store.save_note(NOTE, json.dumps(self.layout.state()))
        except StoreError as error:
            log.warning("the drawing of the map was not kept: %s", error)

    # -- telling ------------------------------------------------------------------------------

    def subscribe(self) -> asyncio.Queue[Message | None]:
        """Return a queue that every message is put into; None is the last."""
        queue: asyncio.Queue[Message | None] = asyncio.Queue(_QUEUE)
        self._readers.add(queue)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        return queue

    def unsubscribe(self, queue: asyncio.Queue[Message | None]) -> None:
        """Put no more into a queue."""
        self._readers.discard(queue)

    async def close(self) -> None:
        """End every stream, and keep the drawing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        for queue in list(self._readers):
            _end(queue)
        self._readers.clear()

    async def now(self) -> Message:
        """Return the message that a stream begins with."""
        await self._engine.wait()
        totals = await self.look(lambda chronicle: (dict(chronicle.totals), chronicle.shares()))
        return "hello", self._state(*totals)

    def _state(self, totals: dict[str, int], shares: dict[str, float]) -> dict[str, Any]:
        return {"seq": self.chronicle.seq, "totals": totals, "shares": shares}

    async def _run(self) -> None:
        while self._readers:
            await asyncio.sleep(TICK_SECONDS)
            try:
                await self._tick()
            except Exception:  # the next tick may do better; a page must not end the service
                log.exception("the pages could not be told what happened")
        self._task = None

    async def _tick(self) -> None:
        async with self._lock:
            news = await asyncio.to_thread(self.chronicle.catch_up, self._engine.store)
        if not (news.decisions or news.feedback or news.lineage):
            self._tell(("idle", {"seq": self.chronicle.seq}))
            return
        state = self._state(dict(self.chronicle.totals), self.chronicle.shares())
        self._tell(("tick", {**state, **_told(news)}))

    def _tell(self, message: Message) -> None:
        for queue in list(self._readers):
            if queue.full():  # too slow: it comes again and begins anew
                self._readers.discard(queue)
                _end(queue)
            else:
                queue.put_nowait(message)


def place_answer(layout: Layout, chronicle: Chronicle, models: list[str]) -> dict[str, Any]:
    """Return where every cluster is drawn, how and how faithfully; models, their shares, drift."""
    return {
        "models": models,
        "method": METHOD,
        "trustworthiness": layout.trustworthiness,
        "positions": layout.points(),
        "drift": {str(id_): row for id_, row in drift(chronicle).items()},
        "shares": chronicle.shares(),
        "totals": dict(chronicle.totals),
    }


def centres_of(router: Router) -> tuple[list[int], Any]:
    """Return ids and centres of the micro-clusters."""
    policy = router.strategies.mapped
    if policy is None or policy.map is None:
        return [], np.zeros((0, 2))
    finest = len(policy.map.levels) - 1
    places = [place for place in policy.map.places() if place.level == finest]
    return [place.id for place in places], np.array([place.center for place in places])


def saved_layout(store: Log) -> Layout:
    """Return the drawing that was kept, or an empty one."""
    layout = Layout()
    text = store.note(NOTE)
    if text is not None:
        with contextlib.suppress(KeyError, TypeError, ValueError):  # a cache of another release
            layout.load(json.loads(text))
    return layout


def _told(news: News) -> dict[str, Any]:
    flashes = [
        {"id": d.decision_id, "cluster": d.path[-1] if d.path else 0, "model": d.model}
        for d in news.decisions[-_FLASHES:]
    ]
    return {
        "new": len(news.decisions),
        "feedback": news.feedback,
        "decisions": flashes,
        "lineage": msgspec.to_builtins(news.lineage[-200:]),
    }


def _end(queue: asyncio.Queue[Message | None]) -> None:
    while queue.full():
        queue.get_nowait()
    queue.put_nowait(None)
