"""What the tables hold: events as rows and back, snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlite_utils import Database

from .. import codec
from ..exceptions import StoreError
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

LINEAGE_COLUMNS = ("seq", "time", "what", "cluster", "other", "level", "cause")

INSERT_EVENT = (
    "INSERT INTO events (seq, time, kind, decision_id, version, body) VALUES (?, ?, ?, ?, ?, ?)"
)
LAST_SEQ = (
    "SELECT max(coalesce((SELECT max(seq) FROM events), 0),"
    " coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'checkpoint'), 0))"
)
PINNED = (
    "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'checkpoint' OR substr(key, 1, 4) = 'pin:'"
)
"""Snapshots that are no mere cache: the checkpoint, and those that are to become it."""

INSERT_LINEAGE = f"INSERT INTO lineage ({', '.join(LINEAGE_COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Rows:
    """Events of one write, `first` to `last` without a gap, with the lineage they caused.

    `erased` are the ids of decisions whose text, hash and metadata the events erase.
    """

    first: int
    last: int
    events: list[tuple[Any, ...]]
    lineage: list[tuple[Any, ...]]
    erased: list[str]

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


def pack(events: Sequence[Event], lineage: Sequence[LineageEvent] = ()) -> Rows:
    """Return events as rows.

    Raises
    ------
    StoreError
        If `seq` leaves a gap, a lineage event belongs to none of the events (it would be
        written twice when its own is), or an event holds what cannot be written.
    """
    first = events[0].seq if events else 0
    last = first + len(events) - 1
    for seq, event in enumerate(events, first):
        if event.seq != seq:
            raise StoreError(f"event {event.seq} follows {seq - 1}: the log must have no gap")
    for item in lineage:
        if not first <= item.seq <= last:
            raise StoreError(f"lineage of event {item.seq} must be written together with it")
    erased = [id_ for event in events for id_ in _erased(event)]
    return Rows(
        first, last, [_event_row(e) for e in events], [_lineage_row(i) for i in lineage], erased
    )


def _erased(event: Event) -> list[str]:
    if not isinstance(event, Change) or event.what != "erased":
        return []
    return list(event.body["decision_ids"])


def erase(db: Database, decision_ids: Sequence[str]) -> None:
    """Write the events of these decisions anew without text, hash and metadata."""
    sql = "SELECT seq, version, body FROM events WHERE decision_id = ? AND kind = 'decision'"
    for id_ in decision_ids:
        for seq, version, body in db.execute(sql, [id_]).fetchall():
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
        elif history is not None and isinstance(event, Outcome):
            history = msgspec.structs.replace(history, outcomes=(*history.outcomes, event))
        elif history is not None and isinstance(event, Feedback):
            history = msgspec.structs.replace(history, feedback=(*history.feedback, event))
    return history
