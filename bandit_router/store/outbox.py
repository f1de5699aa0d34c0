"""`Outbox`: what a replica has said and the shared database has not got yet, in a SQLite file."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..exceptions import StoreError
from ..types import Event
from .connection import connect, plain_words
from .lock import FileLock
from .rows import Rows, insert, unpack

Row = tuple[int, int, bytes]
"""Number, version and body of an event."""


class Outbox:
    """Events by number, 1 and up without a gap, until they are delivered; and a few notes.

    A replica is known by the random `name` that its outbox was given when it was made. Every
    method may be called from any thread.

    Parameters
    ----------
    path
        Made if it is not there; one process has it at a time.

    Raises
    ------
    StoreHeld
        If another process has it.
    StoreError
        If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._lock = threading.Lock()
        self._closing = ExitStack()
        try:
            self._closing.callback(FileLock(self.path).release)
            with plain_words(self.path):
                self._db = connect(self.path, readonly=False)
                self._closing.callback(self._db.close)
                self.name = self._prepare()
        except BaseException:
            self._closing.close()
            raise

    def _prepare(self) -> str:
        db = self._db
        if unknown := set(db.table_names()) - {"outbox", "notes"}:
            raise StoreError(f"{self.path}: no outbox (it holds {min(unknown)}): name another file")
        db.enable_wal()
        db.execute("PRAGMA synchronous = FULL")  # what was acknowledged survives power loss
        db.execute("PRAGMA secure_delete = ON")
        with db.atomic():
            db.execute(
                "CREATE TABLE IF NOT EXISTS outbox"
                " (number INTEGER PRIMARY KEY, version INTEGER NOT NULL, body BLOB NOT NULL)"
            )
            db.execute("CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, value BLOB)")
            name = secrets.token_hex(8)
            db.execute("INSERT OR IGNORE INTO notes VALUES ('name', ?), ('delivered', 0)", [name])
        return str(db.execute("SELECT value FROM notes WHERE key = 'name'").fetchone()[0])

    def close(self) -> None:
        """Let the next process have it. Safe to call twice."""
        with self._lock:
            self._closing.close()

    def delivered(self) -> int:
        """Return the number of the last event that was delivered, 0 if none was."""
        return int(self._rows("SELECT value FROM notes WHERE key = 'delivered'")[0][0])

    def last(self) -> int:
        """Return the number of the last event that was ever put in, 0 if there is none."""
        [(number,)] = self._rows(
            "SELECT max(coalesce((SELECT max(number) FROM outbox), 0),"
            " (SELECT value FROM notes WHERE key = 'delivered'))"
        )
        return int(number)

    def write(self, group: Sequence[Rows]) -> None:
        """Put events in; on disk on return (see `Writer`)."""
        last = self.last()
        with self._lock, plain_words(self.path), self._db.atomic():
            for rows in group:
                if rows.first != last + 1:
                    raise StoreError(f"{self.path}: event {rows.first} cannot follow {last}")
                last = rows.last
                events = [(seq, version, body) for seq, _, _, _, version, body in rows.events]
                insert(self._db, "outbox", ("number", "version", "body"), events)

    def pending(self, after: int, limit: int) -> list[Row]:
        """Return what is to be delivered next, at most `limit` events."""
        sql = "SELECT number, version, body FROM outbox WHERE number > ? ORDER BY number LIMIT ?"
        return [tuple(row) for row in self._rows(sql, [after, limit])]

    def events(self) -> list[Event]:
        """Return all that is to be delivered."""
        return [unpack(*row) for row in self.pending(0, 2**62)]

    def forget(self, until: int) -> None:
        """Drop what has been delivered."""
        with self._lock, plain_words(self.path), self._db.atomic():
            self._db.execute("DELETE FROM outbox WHERE number <= ?", [until])
            self._db.execute(
                "UPDATE notes SET value = max(value, ?) WHERE key = 'delivered'", [until]
            )

    def keep(self, key: str, value: bytes) -> None:
        """Keep a note: what a restart goes on from while the database is away."""
        with self._lock, plain_words(self.path), self._db.atomic():
            self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", [f"kept:{key}", value])

    def kept(self, key: str) -> bytes | None:
        """Return a note, None if there is none."""
        rows = self._rows("SELECT value FROM notes WHERE key = ?", [f"kept:{key}"])
        return bytes(rows[0][0]) if rows else None

    def _rows(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        with self._lock, plain_words(self.path):
            return list(self._db.execute(sql, list(args)).fetchall())
