"""From a log to the router that it stands for, and the proof that snapshots are that fold."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from .. import codec
from ..embedding import Embedder
from ..exceptions import StoreError
from ..fold import FOLD_VERSION
from ..router import Router
from .events import EventStore
from .rows import SnapshotInfo

log = logging.getLogger(__name__)


def restore(store: EventStore, embedder: Embedder | None = None) -> Router:
    """Return the router of a log: its newest snapshot and the events after it.

    Raises
    ------
    StoreError
        If the log is empty or its events do not follow one another.
    """
    found = store.latest_snapshot()
    if found is not None and (
        found.fold_version != FOLD_VERSION or codec.digest(found.body) != found.digest
    ):
        log.warning("the snapshot at event %d cannot be used: folding the whole log", found.seq)
        found = None
    state, after = (found.body, found.seq) if found else (None, 0)
    return Router.restore(
        store.events(after=after), state=state, embedder=embedder, recall=store.recall
    )


class Mismatch(msgspec.Struct, frozen=True):
    """A snapshot that is not the fold: what was stored, and what the fold gives."""

    seq: int
    stored: str
    folded: str | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` found; `digest` is that of the state after the last event."""

    events: int
    snapshots: int
    mismatches: tuple[Mismatch, ...]
    digest: str

    @property
    def agrees(self) -> bool:
        """Whether every snapshot is the fold."""
        return not self.mismatches

    def text(self) -> str:
        """Return the report in words."""
        lines = [
            f"snapshot at event {m.seq}: stored {m.stored[:12]}, "
            + (f"folded {m.folded[:12]}" if m.folded else "written by another release's fold")
            for m in self.mismatches
        ]
        verdict = "every digest agrees" if self.agrees else f"{len(lines)} disagree"
        return "\n".join(
            [*lines, f"{self.events} events folded, {self.snapshots} snapshots: {verdict}"]
        )


def verify(store: EventStore, progress: Callable[[int], object] = lambda seq: None) -> Report:
    """Fold the whole log again and compare digests at every snapshot; writes nothing.

    Parameters
    ----------
    progress
        Called with the sequence number of each event folded.

    Raises
    ------
    StoreError
        If the log is empty or cannot be folded.
    """
    expected = {snapshot.seq: snapshot for snapshot in store.snapshots()}
    last = store.last_seq()
    if not last:
        raise StoreError("the log is empty: there is nothing to verify")
    mismatches: list[Mismatch] = []
    events = store.events()
    router = Router.restore([next(events)], recall=store.recall)
    mismatches += _compare(router, expected.get(router.seq))
    for event in events:
        if event.seq > last:  # a running service goes on writing
            break
        router.apply(event)
        progress(event.seq)
        mismatches += _compare(router, expected.get(event.seq))
    return Report(
        events=router.seq,
        snapshots=sum(seq <= router.seq for seq in expected),
        mismatches=tuple(mismatches),
        digest=codec.digest(router.snapshot()),
    )


def _compare(router: Router, stored: SnapshotInfo | None) -> list[Mismatch]:
    if stored is None:
        return []
    if stored.fold_version != FOLD_VERSION:
        return [Mismatch(stored.seq, stored.digest, None)]
    folded = codec.digest(router.snapshot())
    return [] if folded == stored.digest else [Mismatch(stored.seq, stored.digest, folded)]
