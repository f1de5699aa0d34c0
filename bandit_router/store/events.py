"""`EventStore`: the log, the lineage and the snapshots in one SQLite file."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ..exceptions import StoreError
from ..types import Event, LineageEvent
from . import schema
from .backfill import LONGEST, Backfill
from .base import Statement
from .connection import connect, copy, plain_words
from .lock import FileLock
from .reader import Reader
from .rows import (
    AT_ONCE,
    EVENT_COLUMNS,
    KIND,
    LAST_SEQ,
    LINEAGE_COLUMNS,
    PINNED,
    Rows,
    erase,
    insert,
    pack,
)
from .sqlite import Database

KEPT_BODIES = 3
"""Snapshots whose bodies are kept; of older ones only the digest is."""


class EventStore(Reader):
    """The append-only log of one router. Open it with `EventStore.open`.

    Every method may be called from any thread. Reads use a connection of their own, so that
    they never wait for a write.

    Attributes
    ----------
    flush_decisions
        Whether the disk is flushed for decisions too. If not, they are safe from the end of the
        process as soon as they are written, and from a power failure with whatever else is written
        after them, a second later at the latest: of what was lost nobody had said anything yet.
    """

    def __init__(self, path: Path, reader: Database, writer: Database | None, on_close: ExitStack):
        self.path = path
        self.flush_decisions = True
        self._flushes: bool | None = None
        self._reader = reader
        self._writer = writer
        self._on_close = on_close
        self._read_lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._backfill: Backfill | None = None
        if writer is not None:
            writer.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
            writer.execute(f"PRAGMA journal_size_limit = {LONGEST}").fetchall()
            self._backfill = Backfill(path, writer, self._write_lock)
        self._last: int | None = None  # the last event, where nothing else was written after it
        self._closed = False

    @classmethod
    def open(cls, path: Path | str, *, readonly: bool = False) -> EventStore:
        """Open the database at `path`.

        Parameters
        ----------
        readonly
            Needs no lock and works beside the process that writes; the file must exist.

        Raises
        ------
        StoreHeld
            If another process writes to it.
        StoreError
            If there is none, it is not ours, or it is newer than this release.
        """
        path = Path(path).resolve()  # one lock, by whatever name the file is called
        _check_place(path, readonly)
        opened = ExitStack()
        try:
            with plain_words(path):
                writer = None
                if not readonly:
                    opened.callback(FileLock(path).release)
                    writer = connect(path, readonly=False)
                    opened.callback(writer.close)
                    schema.prepare(writer, path)
                reader = connect(path, readonly=True)
                opened.callback(reader.close)
                schema.check(reader, path)
                return cls(path, reader, writer, opened)
        except BaseException:
            opened.close()
            raise

    def close(self) -> None:
        """Close the file and let the next process write. Safe to call twice."""
        if self._backfill is not None:
            self._backfill.close()
        with self._read_lock, self._write_lock, plain_words(self.path):
            self._closed = True
            self._on_close.close()

    def __enter__(self) -> EventStore:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- writing ----------------------------------------------------------------------------

    def append(self, events: Sequence[Event], lineage: Sequence[LineageEvent] = ()) -> None:
        """Write events, and the lineage that they caused, all or nothing; on disk on return.

        Raises
        ------
        StoreError
            If `seq` does not go on from `last_seq`, or the disk refuses.
        """
        self.write([pack(events, lineage)])

    def write(self, group: Sequence[Rows]) -> None:
        """Write several packed appends in one transaction."""
        events = [row for rows in group for row in rows.events]
        lineage = [row for rows in group for row in rows.lineage]
        erased = [id_ for rows in group for id_ in rows.erased]
        # One statement is a transaction by itself: most writes need no other, see `insert`.
        alone = len(events) <= AT_ONCE and not lineage and not erased
        flush = self.flush_decisions or any(row[KIND] != "decision" for row in events)
        with self._writing(flush) as (db, known):
            with nullcontext() if alone else _whole(db):
                last = _last_seq(db) if known is None else known
                for rows in group:
                    last = rows.after(last, self.path)
                insert(db, "events", EVENT_COLUMNS, events)
                insert(db, "lineage", LINEAGE_COLUMNS, lineage)
                erase(db, erased)
            self._last = last
        if erased and self._backfill is not None:
            with plain_words(self.path):  # not in the write-ahead log either
                self._backfill.empty()

    def save_snapshot(self, seq: int, body: bytes | None, digest: str, fold_version: int) -> None:
        """Keep the fold after event `seq`, or (`body` None) only its digest.

        A snapshot of the same event is replaced. Only the newest bodies are kept, all digests
        are.

        Raises
        ------
        StoreError
            If there is no such event.
        """
        with self._writing(flush=False) as (db, _), _whole(db):  # a cache: the log is complete
            found = db.execute("SELECT time FROM events WHERE seq = ?", [seq]).fetchone()
            if found is None:
                raise StoreError(f"{self.path}: a snapshot needs its event: there is no {seq}")
            db.execute(
                "INSERT OR REPLACE INTO snapshots (seq, time, digest, fold_version, body)"
                " VALUES (?, ?, ?, ?, ?)",
                [seq, found[0], digest, fold_version, body],
            )
            db.execute(
                "UPDATE snapshots SET body = NULL WHERE body IS NOT NULL AND seq NOT IN"
                " (SELECT seq FROM snapshots WHERE body IS NOT NULL ORDER BY seq DESC LIMIT ?)"
                f" AND seq NOT IN ({PINNED})",
                [KEPT_BODIES],
            )

    def drop_stale(self, fold_version: int) -> None:
        """Drop snapshots that other rules than `fold_version` made, but no checkpoint."""
        with self.transaction() as db:
            sql = f"DELETE FROM snapshots WHERE fold_version != ? AND seq NOT IN ({PINNED})"
            db.execute(sql, [fold_version])

    def run(self, *statements: Statement) -> list[int]:
        """See `Log.run`."""
        with self.transaction() as db:
            return [int(db.execute(sql, list(args)).rowcount) for sql, args in statements]

    def vacuum(self) -> None:
        """Give back to the disk what the file no longer needs."""
        with self._write_lock, plain_words(self.path):
            if self._writer is not None:
                self._writer.execute("VACUUM")

    @contextmanager
    def transaction(self) -> Iterator[Database]:
        """Yield the writing connection: at the end all that it did is on disk, or nothing."""
        with self._writing() as (db, _), _whole(db):
            yield db

    @contextmanager
    def _writing(self, flush: bool = True) -> Iterator[tuple[Database, int | None]]:
        """Yield the writing connection, and the last event on disk where that is known.

        It is not any more from then on: whoever knows what was written notes it. With `flush` what
        is written survives a power failure, and all that was written before.
        """
        with self._write_lock, plain_words(self.path):
            self._check_open()
            db = self._writer
            if db is None:
                raise StoreError(f"{self.path}: opened to read only")
            last, self._last = self._last, None
            if flush != self._flushes:
                db.execute(f"PRAGMA synchronous = {'FULL' if flush else 'NORMAL'}")
                self._flushes = flush
            before = db.conn.total_changes
            try:
                yield db, last
            except BaseException:
                db.rollback()
                raise
            if self._backfill is not None:
                self._backfill.written(db.conn.total_changes - before)

    # -- reading ----------------------------------------------------------------------------

    def save_note(self, key: str, text: str) -> None:
        """Keep a text under a key, in the place of what was there."""
        with self.transaction() as db:
            sql = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)"
            db.execute(sql, [f"note:{key}", text])

    def backup(self, path: Path | str) -> None:
        """Copy the database as it is now to a new file, also while it is written to.

        Raises
        ------
        StoreError
            If there is such a file already, or it cannot be written.
        """
        self._check_open()
        copy(self.path, Path(path).absolute())

    def rows(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        """See `Log.rows`."""
        with self._read_lock, plain_words(self.path):
            self._check_open()
            return list(self._reader.execute(sql, list(args)).fetchall())

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self.path}: the database has been closed")


def _check_place(path: Path, readonly: bool) -> None:
    try:
        if path.is_dir():
            raise StoreError(f"{path}: is a folder: name a file in it")
        if readonly and not path.exists():
            raise StoreError(f"{path}: there is no database: check the path")
        if not path.parent.is_dir():
            raise StoreError(f"{path}: there is no folder {path.parent}: make it first")
    except OSError as error:
        raise StoreError(f"{path}: cannot be opened: {error.strerror}") from None


@contextmanager
def _whole(db: Database) -> Iterator[None]:
    """Let several statements be one transaction; whoever writes takes it back if one fails."""
    # Immediate, so that a write by another connection is waited for, not stumbled over.
    db.execute("BEGIN IMMEDIATE")
    yield
    db.commit()


def _last_seq(db: Database) -> int:
    return int(db.execute(LAST_SEQ).fetchone()[0])
