"""What is done every now and then: old prompts are erased, old events fold into a checkpoint."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

from ..config import StoreSettings
from ..exceptions import BanditRouterError
from ..store.retention import archive, compact, ripe, with_text
from .journal import Journal
from .recorder import Recorder

log = logging.getLogger(__name__)

_DAY = 86_400.0
_PAUSE_SECONDS = 3_600.0
_AT_ONCE = 200


class Caretaker:
    """Keeps `[store] prompt_days` and `keep_days`, once an hour.

    Parameters
    ----------
    journal
        What is kept tidy.
    settings
        `[store]`.
    """

    def __init__(self, journal: Journal, settings: StoreSettings) -> None:
        self._journal = journal
        self._settings = settings
        self._seen = 0  # no decision up to this event has text that is too old

    async def run(self) -> None:
        """Work until cancelled."""
        if self._settings.prompt_days is None and self._settings.keep_days is None:
            return
        await self._journal.wait()
        while True:
            try:
                await self.round(time.time())
            except BanditRouterError as error:
                log.warning("the log was not tidied, in an hour it is tried again: %s", error)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def round(self, now: float) -> None:
        """Do what is due."""
        if self._settings.prompt_days is not None:
            await self._erase(now - self._settings.prompt_days * _DAY)
        if self._settings.keep_days is not None:
            await self._fold(now, self._settings.keep_days * _DAY)

    async def _erase(self, before: float) -> None:
        store = self._journal.store
        while True:
            ids, seen = await asyncio.to_thread(with_text, store, before, self._seen, _AT_ONCE)
            if ids:
                await erase(self._journal, ids)
            if seen == self._seen:
                return
            self._seen = seen

    async def _fold(self, now: float, keep: float) -> None:
        """Compact to the newest of the pinned snapshots that are old enough."""
        store = self._journal.store
        due = await asyncio.to_thread(ripe, store, now, keep)
        if due:
            if self._settings.archive is not None:
                file = Path(self._settings.archive) / f"events-to-{due}.parquet"
                if not file.exists():
                    await asyncio.to_thread(archive, store, due, file)
            gone = await self._journal.forget(due, compact)
            log.info("%d events were folded into the checkpoint at event %d", gone, due)


async def erase(journal: Recorder, ids: list[str]) -> None:
    """Erase text, hash and metadata of decisions; gone from the disk when this returns."""
    await journal.write(lambda batch: batch.change("erased", {"decision_ids": ids}))
