"""`PostgresStore`: the log, the lineage and the snapshots in a PostgreSQL database."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import psycopg

from ... import codec
from ...exceptions import StoreError, StoreHeld
from ...types import Decision, Event, LineageEvent, without_text
from ..base import Statement
from ..events import KEPT_BODIES
from ..reader import Reader
from ..rows import LAST_SEQ, PINNED, Rows, pack, unpack
from .connection import (
    LOCK,
    SILENCE_SECONDS,
    check,
    connect,
    make_schema,
    name_of,
    plain_words,
    prepare,
)

_INSERT_EVENTS = (
    "INSERT INTO events (seq, time, kind, decision_id, version, body) SELECT * FROM unnest("
    "%s::bigint[], %s::float8[], %s::text[], %s::text[], %s::int[], %s::bytea[])"
)
_INSERT_LINEAGE = (
    "INSERT INTO lineage (seq, time, what, cluster, other, level, cause) SELECT * FROM unnest("
    "%s::bigint[], %s::float8[], %s::text[], %s::bigint[], %s::bigint[], %s::int[], %s::text[])"
)


class PostgresStore(Reader):
    """The same log as `EventStore`, in a database that others may read and use meanwhile.

    Every method may be called from any thread. A store that only reads connects again after an
    error. One that writes does not: its connection holds the advisory lock, and whoever loses
    that must not write another event.
    """

    def __init__(self, url: str, *, readonly: bool) -> None:
        self.path = name_of(url)
        self._url = url
        self._readonly = readonly
        self._lock = threading.RLock()
        self._closed = False
        self._connection: psycopg.Connection[Any] | None = None

    @classmethod
    def open(cls, url: str, *, readonly: bool = False) -> Self:
        """Connect to the database of a URL.

        Parameters
        ----------
        readonly
            Needs no lock and works beside the process that writes; the tables must exist.

        Raises
        ------
        StoreHeld
            If another process writes the log.
        StoreError
            If it cannot be reached, is not ours, or is newer than this release.
        """
        store = cls(url, readonly=readonly)
        try:
            store._open()
        except BaseException:
            store.close()
            raise
        return store

    def _open(self) -> psycopg.Connection[Any]:
        with plain_words(self.path):
            self._connection = connection = connect(self._url)
            if self._readonly:
                connection.execute("SET default_transaction_read_only = on")
                check(connection, self.path)
                return connection
            make_schema(connection)
            found = connection.execute(f"SELECT pg_try_advisory_lock({LOCK})").fetchone()
            if found != (True,):
                raise StoreHeld(f"{self.path}: another process writes this log: only read it")
            self._limit_silence(connection)
            prepare(connection, self.path)
            return connection

    @staticmethod
    def _limit_silence(connection: psycopg.Connection[Any]) -> None:
        names = ["idle_in_transaction_session_timeout"]
        if connection.info.server_version >= 140_000:
            names.append("idle_session_timeout")
        for name in names:
            connection.execute("SELECT set_config(%s, %s, false)", [name, f"{SILENCE_SECONDS}s"])

    def close(self) -> None:
        """Disconnect and let the next process write. Safe to call twice."""
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- writing ----------------------------------------------------------------------------

    def append(self, events: Sequence[Event], lineage: Sequence[LineageEvent] = ()) -> None:
        """See `Log.append`."""
        self.write([pack(events, lineage)])

    def write(self, group: Sequence[Rows]) -> None:
        """See `Log.write`."""
        with self.transaction() as db:
            self._write(db, group)

    def _write(self, db: psycopg.Connection[Any], group: Sequence[Rows]) -> None:
        last = int(db.execute(LAST_SEQ).fetchall()[0][0])
        for rows in group:
            last = rows.after(last, self.path)
            if rows.events:
                db.execute(
                    _INSERT_EVENTS, [list(column) for column in zip(*rows.events, strict=True)]
                )
            if rows.lineage:
                columns = [list(column) for column in zip(*rows.lineage, strict=True)]
                db.execute(_INSERT_LINEAGE, columns)
            self._erase(db, rows.erased)

    @staticmethod
    def _erase(db: psycopg.Connection[Any], decision_ids: Sequence[str]) -> None:
        sql = (
            "SELECT seq, version, body FROM events"
            " WHERE decision_id = ANY(%s) AND kind = 'decision'"
        )
        for row in db.execute(sql, [list(decision_ids)]).fetchall() if decision_ids else ():
            event = unpack(*row)
            if isinstance(event, Decision):
                left = codec.encode_event(without_text(event))
                db.execute("UPDATE events SET body = %s WHERE seq = %s", [left, event.seq])

    def save_snapshot(self, seq: int, body: bytes | None, digest: str, fold_version: int) -> None:
        """See `Log.save_snapshot`."""
        with self.transaction() as db:
            found = db.execute("SELECT time FROM events WHERE seq = %s", [seq]).fetchone()
            if found is None:
                raise StoreError(f"{self.path}: a snapshot needs its event: there is no {seq}")
            db.execute(
                "INSERT INTO snapshots (seq, time, digest, fold_version, body)"
                " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (seq) DO UPDATE SET time = EXCLUDED.time,"
                " digest = EXCLUDED.digest, fold_version = EXCLUDED.fold_version,"
                " body = EXCLUDED.body",
                [seq, found[0], digest, fold_version, body],
            )
            db.execute(
                "UPDATE snapshots SET body = NULL WHERE body IS NOT NULL AND seq NOT IN"
                " (SELECT seq FROM snapshots WHERE body IS NOT NULL ORDER BY seq DESC LIMIT %s)"
                f" AND seq NOT IN ({PINNED})",
                [KEPT_BODIES],
            )

    def drop_stale(self, fold_version: int) -> None:
        """See `Log.drop_stale`."""
        with self.transaction() as db:
            sql = f"DELETE FROM snapshots WHERE fold_version != %s AND seq NOT IN ({PINNED})"
            db.execute(sql, [fold_version])

    def run(self, *statements: Statement) -> list[int]:
        """See `Log.run`."""
        with self.transaction() as db:
            return [
                db.execute(sql.replace("?", "%s"), list(args)).rowcount for sql, args in statements
            ]

    def analyze(self) -> None:
        """Let the server count the log, lest each of many small deletions reads all of it.

        It does so now and then by itself, but perhaps not yet after an import.
        """
        self.run(("ANALYZE events", ()))

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[Any]]:
        """Yield the connection: at the end all that it did is on disk, or nothing."""
        with self._lock, plain_words(self.path):
            if self._readonly:
                raise StoreError(f"{self.path}: opened to read only")
            db = self._live()
            with db.transaction():
                yield db

    # -- reading ----------------------------------------------------------------------------

    def save_note(self, key: str, text: str) -> None:
        """See `Log.save_note`; a store that only reads keeps none."""
        if self._readonly:
            return
        with self.transaction() as db:
            db.execute(
                "INSERT INTO meta (key, value) VALUES (%s, %s)"
                " ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value",
                [f"note:{key}", text],
            )

    def rows(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        """See `Log.rows`."""
        with self._lock, plain_words(self.path):
            return list(self._live().execute(sql.replace("?", "%s"), list(args)).fetchall())

    def _live(self) -> psycopg.Connection[Any]:
        """Return the connection; one that only reads is made anew where it is broken."""
        if self._closed:
            raise StoreError(f"{self.path}: the database has been closed")
        connection = self._connection
        if connection is None or connection.closed:
            if not self._readonly:
                raise StoreError(f"{self.path}: the connection is lost, and the lock with it")
            return self._open()
        return connection
