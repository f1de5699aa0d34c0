"""What the tables hold: events as rows and back, snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import msgspec

from .. import codec
from ..exceptions import StoreError
from ..memory import with_event
from ..types import (
    EVENT_VERSION,
    Change,
    Decision,
    Event,
    Feedback,
    History,
    LineageEvent,
    Outcome,
    without_text,
)
from .sqlite import Database

LINEAGE_COLUMNS = ("seq", "time", "what", "cluster", "other", "level", "cause")

EVENT_COLUMNS = ("seq", "time", "kind", "decision_id", "version", "body")
KIND = EVENT_COLUMNS.index("kind")
LAST_SEQ = (
    "SELECT coalesce(max(seq), 0) FROM (SELECT max(seq) AS seq FROM events UNION ALL"
    " SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'checkpoint') AS last"
)
PINNED = (
    "SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'checkpoint' OR substr(key, 1, 4) = 'pin:'"
)
"""Snapshots that are no mere cache: the checkpoint, and those that are to become it."""

NO_DECISION = "kind <> 'decision'"
"""What the index on kinds holds, in the words that a query has to have to be answered by it."""

AT_ONCE = 100
"""Rows of one statement: SQLite takes 999 values at least."""


class Rows:
    """Events of one write without a gap, as rows, with the lineage that they caused.

    Attributes
    ----------
    first
        The number of the first event, 0 if there is none.
    erased
        The ids of decisions whose text, hash and metadata the events erase.
    """

    __slots__ = ("erased", "events", "first", "lineage")

    def __init__(self) -> None:
        self.first = 0
        self.events: list[tuple[Any, ...]] = []
        self.lineage: list[tuple[Any, ...]] = []
        self.erased: list[str] = []

    @property
    def last(self) -> int:
        """The number of the last event."""
        return self.first + len(self.events) - 1

    def add(self, event: Event) -> None:
        """Add the next event.

        Raises
        ------
        StoreError
            If its `seq` leaves a gap, or it holds what cannot be written; nothing is added then.
        """
        if self.events and event.seq != self.last + 1:
            raise StoreError(f"event {event.seq} follows {self.last}: the log must have no gap")
        row = _event_row(event)
        if not self.events:
            self.first = event.seq
        self.events.append(row)
        if isinstance(event, Change) and event.what == "erased":
            self.erased += event.body["decision_ids"]

    def trace(self, lineage: Iterable[LineageEvent]) -> None:
        """Add what became of clusters.

        Raises
        ------
        StoreError
            If it is of none of the events: it would be written twice when its own is.
        """
        for item in lineage:
            if not self.first <= item.seq <= self.last:
                raise StoreError(f"lineage of event {item.seq} must be written together with it")
            self.lineage.append(_lineage_row(item))

    def after(self, last: int, path: object) -> int:
        """Return the last event of the log at `path` when these follow its event `last`.

        Raises
        ------
        StoreError
            If they do not follow it.
        """
        if self.events and self.first != last + 1:
            raise StoreError(
                f"{path}: event {self.first} cannot follow event {last}: the log must have no gap"
            )
        return max(last, self.last)


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A cache of the fold after event `seq`, made by rules `fold_version`."""

    seq: int
    time: float
    digest: str
    fold_version: int
    body: bytes


class SnapshotInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of every snapshot; `time` is that of its last event."""

    seq: int
    time: float
    digest: str
    fold_version: int
    has_body: bool


def pack(events: Iterable[Event], lineage: Iterable[LineageEvent] = ()) -> Rows:
    """Return events as rows; see `Rows` for what it raises."""
    rows = Rows()
    for event in events:
        rows.add(event)
    rows.trace(lineage)
    return rows


def insert(
    db: Database, table: str, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows, many by one statement.

    Each statement hands the interpreter to other threads and has to wait until it gets it back:
    row by row, a writer beside a busy event loop would do little else.
    """
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        db.conn.execute(_sql(table, columns, len(some)), [value for one in some for value in one])


@cache
def _sql(table: str, columns: tuple[str, ...], count: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * count)}"


# The plus keeps SQLite from the index on kinds, which would read every decision there is.
DECISION = "SELECT seq, version, body FROM events WHERE decision_id = ? AND +kind = 'decision'"


def erase(db: Database, decision_ids: Sequence[str]) -> None:
    """Write the events of these decisions anew without text, hash and metadata."""
    for id_ in decision_ids:
        for seq, version, body in db.execute(DECISION, [id_]).fetchall():
            event = unpack(seq, version, body)
            if isinstance(event, Decision):
                left = codec.encode_event(without_text(event))
                db.execute("UPDATE events SET body = ? WHERE seq = ?", [left, seq])


def _event_row(event: Event) -> tuple[Any, ...]:
    try:
        body = codec.encode_event(event)
    except (TypeError, ValueError, OverflowError) as error:
        raise StoreError(f"event {event.seq} cannot be written: {error}") from error
    kind = event.__struct_config__.tag
    decision_id = getattr(event, "decision_id", None)
    return event.seq, event.time, kind, decision_id, event.version, body


def _lineage_row(item: LineageEvent) -> tuple[Any, ...]:
    return tuple(getattr(item, name) for name in LINEAGE_COLUMNS)


def unpack(seq: int, version: int, body: bytes) -> Event:
    """Return the event of a row.

    Raises
    ------
    StoreError
        If it is newer than this release, or damaged.
    """
    if version > EVENT_VERSION:
        raise StoreError(
            f"event {seq} was written by a newer bandit-router (version {version}, this release "
            f"knows {EVENT_VERSION}): upgrade bandit-router"
        )
    try:
        event = codec.decode_event(body)
    except msgspec.DecodeError as error:
        raise StoreError(f"event {seq} is damaged ({error}): restore a backup") from error
    if event.seq != seq:
        raise StoreError(f"event {seq} is damaged (it says {event.seq}): restore a backup")
    return event


def history_of(events: Iterable[Event]) -> History | None:
    """Return a decision and what was said of it, of its events in order; None without it."""
    history: History | None = None
    for event in events:
        if isinstance(event, Decision):
            history = History(decision=event)
        elif history is not None and isinstance(event, Outcome | Feedback):
            history = with_event(history, event)
    return history
