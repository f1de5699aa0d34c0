"""What every store of the log can do, whichever engine it is on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from ..types import Event, History, LineageEvent
from .rows import Rows, Snapshot, SnapshotInfo

Kind = Literal["decision", "outcome", "feedback", "change"]

Statement = tuple[str, Sequence[Any]]
"""SQL that every engine knows, and its parameters, which are marked ``?``."""

Place = Path | str
"""A file, or the URL of a PostgreSQL database."""

_SCHEMES = ("postgresql://", "postgres://")


def is_shared(place: Place) -> bool:
    """Tell whether a place is the URL of a database that many processes share."""
    return str(place).startswith(_SCHEMES)


class Log(Protocol):
    """The append-only log of one router, its lineage and its snapshots; see `EventStore`."""

    @property
    def path(self) -> Place:
        """Where it is, for messages; without a password."""

    def close(self) -> None:
        """Let the next process write."""

    def append(self, events: Sequence[Event], lineage: Sequence[LineageEvent] = ()) -> None:
        """Write events, and the lineage that they caused, all or nothing; on disk on return."""

    def write(self, group: Sequence[Rows]) -> None:
        """Write several packed appends in one transaction."""

    def save_snapshot(self, seq: int, body: bytes | None, digest: str, fold_version: int) -> None:
        """Keep the fold after event `seq`, or (`body` None) only its digest."""

    def drop_stale(self, fold_version: int) -> None:
        """Drop snapshots that other rules than `fold_version` made, but no checkpoint."""

    def events(self, after: int = 0, *, kind: Kind | None = None) -> Iterator[Event]:
        """Yield the events after `seq` `after` in order, all or those of one kind."""

    def checkpoint(self) -> int:
        """Return the number of the event that older ones were folded into, 0 if none were."""

    def last_seq(self) -> int:
        """Return the number of the last event on disk, 0 if there is none."""

    def recall(self, decision_id: str, before_seq: int | None = None) -> History | None:
        """Return a decision and what was said of it before event `before_seq` (None: ever)."""

    def lineage(
        self, cluster: int | None = None, after: int = 0, limit: int = 1000
    ) -> list[LineageEvent]:
        """Return lineage after event `after`, oldest first."""

    def latest_snapshot(self) -> Snapshot | None:
        """Return the newest snapshot that has a body, or None."""

    def bodies(self) -> Iterator[Snapshot]:
        """Yield the snapshots that have a body, newest first."""

    def snapshots(self) -> list[SnapshotInfo]:
        """Return what is known of every snapshot, oldest first."""

    def counts(self, until: int | None = None) -> dict[str, int]:
        """Return how many events of each kind there are, up to event `until` (None: all)."""

    def rows(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        """Return what a query finds, whose parameters are marked ``?``."""

    def run(self, *statements: Statement) -> list[int]:
        """Do all or nothing; return how many rows each statement changed."""

    def note(self, key: str) -> str | None:
        """Return what was last noted under a key; notes are caches, never part of the log."""

    def save_note(self, key: str, text: str) -> None:
        """Keep a text under a key, in the place of what was there."""
