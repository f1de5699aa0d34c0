"""`Backfill`: from the write-ahead log into the database, beside the writes.

SQLite does it by itself, but as part of a write: every so often one would wait for the disk ten
times as long as the others, and with it all requests whose events it holds.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from contextlib import AbstractContextManager
from pathlib import Path

from .connection import connect

log = logging.getLogger(__name__)

EVERY = 2_000
"""Rows written from one time to the next, at most; about 10 MB of the write-ahead log."""

LATEST_S = 1.0
"""How long what was written waits, at most: by then it survives a power failure in any case."""

LONGEST = 16_384
"""Pages of the write-ahead log, 64 MB, beyond which a write sees to it after all."""


class Backfill:
    """A thread that brings the database up to its write-ahead log, which then begins anew.

    Most of it is done beside the writes. What they have added meanwhile, a few pages, is done
    while none is under way: else the log would only ever grow.

    Parameters
    ----------
    path
        The database, which has a connection open that writes.
    writing
        Held by whoever writes.
    """

    def __init__(self, path: Path, writing: AbstractContextManager[object]) -> None:
        self._db = connect(path, readonly=False)
        self._path = path
        self._writing = writing
        self._at_it = threading.Lock()
        self._changed = threading.Condition()
        self._rows = 0  # written since it last began
        self._closed = False
        # Started with the first write: who opens a database to look something up writes nothing.
        self._thread: threading.Thread | None = None

    def written(self, rows: int) -> None:
        """Take note of so many rows more; never waits."""
        with self._changed:
            first, self._rows = not self._rows, self._rows + rows
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="bandit-router-backfill")
                self._thread.start()
            if first or self._rows >= EVERY:
                self._changed.notify()

    def empty(self) -> None:
        """Leave nothing in the write-ahead log, if no reader is in the way."""
        with self._at_it, self._writing:
            if not self._closed:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Stop, and close the connection. Safe to call twice."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        self._db.close()

    def _run(self) -> None:
        while self._wait():
            try:
                with self._at_it:
                    self._some()
                    with self._writing:
                        self._some()
            except sqlite3.Error as error:  # nothing is lost: it is all in the log
                log.warning("%s: the write-ahead log stays as it is: %s", self._path, error)

    def _wait(self) -> bool:
        """Return, as soon as there is enough to do or it has waited so long, whether to go on."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._rows)
            self._changed.wait_for(lambda: self._closed or self._rows >= EVERY, LATEST_S)
            self._rows = 0
            return not self._closed

    def _some(self) -> None:
        """Do what there is now, up to what a reader still needs."""
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
