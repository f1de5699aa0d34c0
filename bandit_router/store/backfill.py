"""`Backfill`: from the write-ahead log into the database, beside the writes.

SQLite does it by itself, but as part of a write: every so often one would wait for the disk ten
times as long as the others, and with it all requests whose events it holds.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from contextlib import AbstractContextManager
from pathlib import Path

from .connection import connect
from .sqlite import Database

log = logging.getLogger(__name__)

EVERY = 2_000
"""Rows written from one time to the next, at most: 8 MB of the write-ahead log where 32 share a
write, 100 MB where each is one of its own, if so many come in a second."""

FEW = 40
"""Rows that are done while writes wait; of more, those are done beside the writes first."""

_PASSES, _SOON_S = 4, 0.05  # beside the writes in a row, and how long one waits for new ones

LATEST_S = 1.0
"""How long what was written waits, at most: by then it survives a power failure in any case."""

LONGEST = 64_000_000
"""Bytes of the write-ahead log that are kept when it begins anew; a long reader makes it longer."""

PATIENCE_S = 1.0
"""How long writes wait for a reader who keeps what was erased in the write-ahead log."""


class Backfill:
    """A thread that brings the database up to its write-ahead log, which then begins anew.

    Most of it is done beside the writes, then what they have added meanwhile, and so on. The last
    few pages are done while none is under way: else the log would only ever grow.

    What is done beside the writes begins only when some were made since it was last done, and
    nobody else does it: in SQLite before 3.51.3 a write that begins the log anew at that very
    moment damages the database (https://sqlite.org/wal.html#walresetbug). While something is left
    to do, no write begins it anew; while the rest is done none can, by whatever connection.

    Parameters
    ----------
    path
        The database.
    writer
        The connection that writes to it, and leaves this to us.
    writing
        Held by whoever uses that.
    """

    def __init__(
        self, path: Path, writer: Database, writing: AbstractContextManager[object]
    ) -> None:
        self._db = connect(path, readonly=False)
        self._path = path
        self._writer = writer
        self._writing = writing
        self._at_it = threading.Lock()
        self._changed = threading.Condition()
        self._rows = 0  # written and not known to be done
        self._new = 0  # written since any were last done, so that there is something to do
        self._owed = False  # whether it is to be emptied as soon as a reader lets it
        self._closed = False
        # Started with the first write: who opens a database to look something up writes nothing.
        self._thread: threading.Thread | None = None

    def written(self, rows: int) -> None:
        """Take note of so many rows more, before the next write can begin; waits for nothing."""
        with self._changed:
            if not rows or self._closed:
                return
            first = not self._new
            self._rows += rows
            self._new += rows
            if self._thread is None:
                # A daemon, which a process whose store nobody has closed does not wait for.
                self._thread = threading.Thread(
                    target=self._run, name="bandit-router-backfill", daemon=True
                )
                self._thread.start()
            if first or self._rows >= EVERY:
                self._changed.notify()

    def empty(self) -> None:
        """Leave nothing in the write-ahead log; soon after its end if a reader is in the way."""
        with self._at_it, self._writing:
            if not self._closed:
                self._owed = not self._do("TRUNCATE", PATIENCE_S)
                self._rows = self._new = 0

    def close(self) -> None:
        """Stop, and close the connection. Safe to call twice."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        with self._at_it:
            self._db.close()

    def _run(self) -> None:
        failed = False
        while self._wait(failed):
            try:
                self._all()
            except (sqlite3.Error, OSError) as error:  # nothing is lost: it is all in the log
                if not failed:
                    log.warning("%s: the write-ahead log stays as it is: %s", self._path, error)
                failed = True
            else:
                failed = False

    def _wait(self, failed: bool) -> bool:
        """Return, as soon as there is enough to do or it has waited so long, whether to go on."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._rows or self._owed)
            self._changed.wait_for(
                lambda: self._closed or (self._rows >= EVERY and not failed), LATEST_S
            )
            return not self._closed

    def _all(self) -> None:
        with self._at_it:
            for _ in range(_PASSES):
                if not self._most():
                    break
            with self._writing:
                done = self._do("TRUNCATE") if self._owed else self._rest()
                self._rows, self._new, self._owed = 0, 0, self._owed and not done
        if not done:  # a reader needs it yet: it has to survive a power failure where it is
            with Path(f"{self._path}-wal").open("rb") as wal:
                os.fsync(wal.fileno())

    def _most(self) -> bool:
        """Do what there is beside the writes; return whether they have added much meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self._new or self._closed, _SOON_S)
            if not self._new:
                return False
            before = self._rows
        try:
            self._do("PASSIVE")
        finally:
            with self._writing:  # so that all that was written by now has been told of
                self._new = 0
        with self._changed:
            self._rows -= before
            return self._rows > FEW

    def _rest(self) -> bool:
        """Do the rest while no other connection writes either, such as that of the API keys."""
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            return self._do("PASSIVE")
        finally:
            self._writer.rollback()

    def _do(self, how: str, patience: float = 0.0) -> bool:
        """Do what there is now, up to what a reader still needs; return whether that was all."""
        self._db.execute(f"PRAGMA busy_timeout = {patience * 1000:.0f}").fetchall()
        [(busy, there, done)] = self._db.execute(f"PRAGMA wal_checkpoint({how})").fetchall()
        return not busy and bool(done == there)
