"""What the tables hold: events as rows and back, snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from .. import codec
from ..exceptions import StoreError
from ..types import EVENT_VERSION, Event, LineageEvent

LINEAGE_COLUMNS = ("seq", "time", "what", "cluster", "other", "level", "cause")

INSERT_EVENT = (
    "INSERT INTO events (seq, time, kind, decision_id, version, body) VALUES (?, ?, ?, ?, ?, ?)"
)
INSERT_LINEAGE = f"INSERT INTO lineage ({', '.join(LINEAGE_COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Rows:
    """Events of one write, `first` to `last` without a gap, with the lineage they caused."""

    first: int
    last: int
    events: list[tuple[Any, ...]]
    lineage: list[tuple[Any, ...]]


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
    return Rows(first, last, [_event_row(e) for e in events], [_lineage_row(i) for i in lineage])


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
