"""What reading a log is on every engine: the same questions, asked of tables of the same shape."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ..exceptions import StoreError
from ..types import Event, History, LineageEvent
from .base import Kind
from .rows import LAST_SEQ, LINEAGE_COLUMNS, NO_DECISION, Snapshot, SnapshotInfo, history_of, unpack

CHUNK = 500
"""Events read at once: a long read would keep SQLite from shortening its write-ahead log."""


class Reader(ABC):
    """The reading half of a `Log`; an engine says how it runs a query.

    Attributes
    ----------
    path
        Where the log is, a file or a URL, for messages.
    """

    path: Any

    @abstractmethod
    def rows(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        """See `Log.rows`."""

    def checkpoint(self) -> int:
        """Return the number of the event that older ones were folded into, 0 if none were."""
        rows = self.rows("SELECT value FROM meta WHERE key = 'checkpoint'")
        return int(rows[0][0]) if rows else 0

    def last_seq(self) -> int:
        """Return the number of the last event on disk, 0 if there is none."""
        return int(self.rows(LAST_SEQ)[0][0])

    def events(self, after: int = 0, *, kind: Kind | None = None) -> Iterator[Event]:
        """Yield the events after `seq` `after` in order, all or those of one kind.

        What is appended meanwhile is yielded too. No lock is held between events. Of what was
        folded into the checkpoint only the rest that is kept is yielded.

        Raises
        ------
        StoreError
            If one is missing, damaged, or newer than this release.
        """
        which, args = ("AND kind = ?", [kind]) if kind else ("", [])
        if kind not in (None, "decision"):
            which += f" AND {NO_DECISION}"
        sql = f"SELECT seq, version, body FROM events WHERE seq > ? {which} ORDER BY seq LIMIT ?"
        while rows := self.rows(sql, [after, *args, CHUNK]):
            for seq, version, body in rows:
                if kind is None and seq != after + 1 and seq > self.checkpoint() + 1:
                    raise StoreError(f"{self.path}: event {after + 1} is missing: restore a backup")
                yield unpack(seq, version, body)
                after = seq

    def recall(self, decision_id: str, before_seq: int | None = None) -> History | None:
        """Return a decision and what was said of it before event `before_seq` (None: ever)."""
        bound = before_seq if before_seq is not None else 2**62
        sql = "SELECT seq, version, body FROM events WHERE decision_id = ? AND seq < ? ORDER BY seq"
        return history_of(unpack(*row) for row in self.rows(sql, [decision_id, bound]))

    def lineage(
        self, cluster: int | None = None, after: int = 0, limit: int = 1000
    ) -> list[LineageEvent]:
        """Return lineage after event `after`, oldest first.

        Parameters
        ----------
        cluster
            Only what names this cluster, as itself or as its parent or heir.
        limit
            About how many: what one event caused is never cut, so that the last `seq` returned
            is the `after` of the next page.
        """
        which, args = "seq > ?", [after]
        if cluster is not None:
            which, args = f"{which} AND (cluster = ? OR other = ?)", [after, cluster, cluster]
        page = f"SELECT seq FROM lineage WHERE {which} ORDER BY id LIMIT ?"
        sql = (
            f"SELECT {', '.join(LINEAGE_COLUMNS)} FROM lineage WHERE {which}"
            f" AND seq <= (SELECT max(seq) FROM ({page}) AS page) ORDER BY id"
        )
        rows = self.rows(sql, [*args, *args, limit])
        return [
            msgspec.convert(dict(zip(LINEAGE_COLUMNS, row, strict=True)), LineageEvent)
            for row in rows
        ]

    def latest_snapshot(self) -> Snapshot | None:
        """Return the newest snapshot that has a body, or None."""
        return next(self.bodies(), None)

    def bodies(self) -> Iterator[Snapshot]:
        """Yield the snapshots that have a body, newest first."""
        names = ("seq", "time", "digest", "fold_version", "body")
        before = 2**62
        sql = (
            "SELECT seq, time, digest, fold_version, body FROM snapshots"
            " WHERE body IS NOT NULL AND seq < ? ORDER BY seq DESC LIMIT 1"
        )
        while rows := self.rows(sql, [before]):
            yield (found := Snapshot(**dict(zip(names, rows[0], strict=True))))
            before = found.seq

    def snapshots(self) -> list[SnapshotInfo]:
        """Return what is known of every snapshot, oldest first."""
        rows = self.rows(
            "SELECT seq, time, digest, fold_version, body IS NOT NULL FROM snapshots ORDER BY seq"
        )
        return [
            SnapshotInfo(seq=s, time=t, digest=d, fold_version=f, has_body=bool(b))
            for s, t, d, f, b in rows
        ]

    def counts(self, until: int | None = None) -> dict[str, int]:
        """Return how many events of each kind there are, up to event `until` (None: all)."""
        bound = until if until is not None else 2**62
        if bound <= 0:
            return {}
        # The plus keeps SQLite from the table itself, where events are large.
        sql = (
            f"SELECT kind, count(*) FROM events WHERE {NO_DECISION} AND +seq <= ? GROUP BY kind"
            " UNION ALL SELECT 'decision', count(*) FROM events WHERE +seq <= ?"
        )
        counts = dict(sorted(self.rows(sql, [bound, bound])))
        counts["decision"] = 2 * counts["decision"] - sum(counts.values())  # that was of all
        return {kind: count for kind, count in counts.items() if count}

    def note(self, key: str) -> str | None:
        """Return what was last noted under a key; notes are caches, never part of the log."""
        rows = self.rows("SELECT value FROM meta WHERE key = ?", [f"note:{key}"])
        return str(rows[0][0]) if rows else None
