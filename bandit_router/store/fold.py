"""From a log to the router that it stands for, and the proof that snapshots are that fold."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from .. import codec
from ..embedding import Embedder
from ..exceptions import BanditRouterError, StoreError
from ..fold import FOLD_VERSION
from ..router import Router
from ..types import Decision
from .base import Log
from .rows import SnapshotInfo

log = logging.getLogger(__name__)

_READ_AGAIN = 10_000
"""Events before a snapshot whose prompts name regions again."""


def restore(store: Log, embedder: Embedder | None = None) -> Router:
    """Return the router of a log: its newest snapshot and the events after it.

    Raises
    ------
    StoreError
        If the log is empty or its events do not follow one another.
    """
    router = from_snapshot(store, embedder)
    after = router.seq if router else 0
    events = store.events(after=after)
    if router is None:
        router = Router.restore(events, embedder=embedder, recall=store.recall)
    for event in events:
        router.apply(event)
    _read_again(router, store, after)
    return router


def _read_again(router: Router, store: Log, until: int) -> None:
    """Name regions by the prompts before a snapshot too, where prompts are kept."""
    if not (router.settings.clusterer.names and router.settings.store.keep_prompts):
        return
    for event in store.events(after=max(0, until - _READ_AGAIN), kind="decision"):
        if event.seq > until:
            break
        if isinstance(event, Decision) and event.prompt is not None:
            router.read(event, event.prompt)


def from_snapshot(
    store: Log, embedder: Embedder | None = None, *, before: float | None = None
) -> Router | None:
    """Return the router of the newest snapshot that can be used; None: fold the whole log.

    Parameters
    ----------
    before
        Only what stands for a time not after this.

    Raises
    ------
    StoreError
        If there is none and the events before the checkpoint are gone.
    """
    for found in store.bodies():
        if before is not None and found.time > before:
            continue
        if codec.digest(found.body) != found.digest:
            why = "is damaged"
        elif found.fold_version != FOLD_VERSION:
            why = f"is of fold version {found.fold_version}"
        else:
            try:
                router = Router.restore(
                    [], state=found.body, embedder=embedder, recall=store.recall
                )
            except StoreError as error:
                why = f"cannot be taken: {error}"
            else:
                if router.seq == found.seq:
                    return router
                why = f"says that it is of event {router.seq}"
        log.warning("the snapshot at event %d %s: it is not used", found.seq, why)
    if checkpoint := store.checkpoint():
        raise StoreError(
            f"{store.path}: the checkpoint at event {checkpoint} cannot be used by this release "
            f"(fold version {FOLD_VERSION}), and the events before it are gone: go on with the "
            "release that wrote it, or restore a backup from before the compaction"
        )
    return None


class Mismatch(msgspec.Struct, frozen=True):
    """A snapshot that is not the fold: what was stored, and what the fold gives."""

    seq: int
    stored: str
    folded: str | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` found; `digest` is that of the state after the last event.

    `stale` counts snapshots that an earlier release's rules made, which this one cannot compare
    and never uses; `checkpoint` is the event that the fold began after.
    """

    events: int
    snapshots: int
    mismatches: tuple[Mismatch, ...]
    digest: str
    stale: int = 0
    checkpoint: int = 0

    @property
    def agrees(self) -> bool:
        """Whether every snapshot is the fold."""
        return not self.mismatches

    def text(self) -> str:
        """Return the report in words."""
        lines = [
            f"snapshot at event {m.seq}: stored {m.stored[:12]}, "
            + (f"folded {m.folded[:12]}" if m.folded else "its body is damaged")
            for m in self.mismatches
        ]
        if self.stale:
            lines.append(f"{self.stale} snapshots of an earlier release: not compared, never used")
        verdict = "every digest agrees" if self.agrees else f"{len(self.mismatches)} disagree"
        return "\n".join(
            [*lines, f"{self.events} events folded, {self.snapshots} snapshots: {verdict}"]
        )


def verify(store: Log, progress: Callable[[int], object] = lambda seq: None) -> Report:
    """Fold the whole log again and compare digests at every snapshot; writes nothing.

    Begins again if old events are folded into a checkpoint meanwhile.

    Parameters
    ----------
    progress
        Called with the sequence number of each event folded.

    Raises
    ------
    StoreError
        If the log is empty or cannot be folded.
    """
    while True:
        checkpoint = store.checkpoint()
        try:
            report = _verified(store, checkpoint, progress)
        except BanditRouterError:
            if store.checkpoint() == checkpoint:
                raise
        else:
            if report.agrees or store.checkpoint() == checkpoint:
                return report


def _verified(store: Log, checkpoint: int, progress: Callable[[int], object]) -> Report:
    expected = {snapshot.seq: snapshot for snapshot in store.snapshots()}
    last = store.last_seq()
    if not last:
        raise StoreError("the log is empty: there is nothing to verify")
    mismatches: list[Mismatch] = []
    if checkpoint:
        events = store.events(after=checkpoint)
        start = next((s for s in store.bodies() if s.seq == checkpoint), None)
        if start is None or codec.digest(start.body) != start.digest:
            raise StoreError(f"{store.path}: the checkpoint at event {checkpoint} is damaged")
        router = Router.restore([], state=start.body, recall=store.recall)
        expected = {seq: info for seq, info in expected.items() if seq >= checkpoint}
    else:
        events = store.events()
        router = Router.restore([next(events)], recall=store.recall)
    mismatches += _compare(router, expected.get(router.seq))
    for event in events:
        if event.seq > last:  # a running service goes on writing
            break
        router.apply(event)
        progress(event.seq)
        mismatches += _compare(router, expected.get(event.seq))
    told = {mismatch.seq for mismatch in mismatches}
    for found in store.bodies():
        ours = found.fold_version == FOLD_VERSION and found.seq not in told
        if ours and codec.digest(found.body) != found.digest:
            mismatches.append(Mismatch(found.seq, found.digest, None))
    return Report(
        events=router.seq,
        snapshots=sum(seq <= router.seq for seq in expected),
        mismatches=tuple(mismatches),
        digest=codec.digest(router.snapshot()),
        stale=sum(s.fold_version != FOLD_VERSION for s in expected.values()),
        checkpoint=checkpoint,
    )


def _compare(router: Router, stored: SnapshotInfo | None) -> list[Mismatch]:
    if stored is None or stored.fold_version != FOLD_VERSION:
        return []
    folded = codec.digest(router.snapshot())
    return [] if folded == stored.digest else [Mismatch(stored.seq, stored.digest, folded)]
