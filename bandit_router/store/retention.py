"""Old events fold into a checkpoint; what they held may be archived first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import codec
from ..exceptions import StoreError
from ..fold import FOLD_VERSION
from ..router import Router
from ..types import Change, Decision, Event
from .base import Log
from .events import EventStore
from .fold import from_snapshot

_CHUNK = 5_000
_GONE = (
    "seq <= ? AND kind != 'change' AND decision_id NOT IN"
    " (SELECT decision_id FROM events WHERE seq > ? AND decision_id IS NOT NULL)"
)
"""Decisions of which something was said since are kept, with all that was said of them, and so
are most changes: the rest of the log can be folded without the others."""
_DONE = ("erased", "spent")
"""Changes that nobody asks for once they are folded, of which there may be one a request."""


def fold_until(store: EventStore, before: float) -> int:
    """Save the fold of all events up to time `before` as a snapshot; return its event, 0 if none.

    Raises
    ------
    StoreError
        If the log cannot be folded, or its strategy needs the whole of it to start again.
    """
    router = from_snapshot(store, before=before)
    for event in store.events(after=router.seq if router else 0):
        if event.time > before:
            break
        if router is None:
            router = Router.restore([event], recall=store.recall)
        else:
            router.apply(event)
    if router is None:
        return 0
    if router.seq == store.checkpoint():  # nothing has happened since
        return router.seq
    if not router.restorable:
        raise StoreError("this strategy starts again from the whole log: nothing can be folded")
    body = router.snapshot()
    store.save_snapshot(router.seq, body, codec.digest(body), FOLD_VERSION)
    return router.seq


def compact(store: EventStore, checkpoint: int) -> int:
    """Drop the events up to a snapshot, which takes their place; return how many.

    Raises
    ------
    StoreError
        If there is no such snapshot that can be used.
    """
    found = next((s for s in store.bodies() if s.seq == checkpoint), None)
    if found is None or found.fold_version != FOLD_VERSION:
        raise StoreError(f"{store.path}: there is no snapshot of event {checkpoint} to start from")
    if codec.digest(found.body) != found.digest:
        raise StoreError(f"{store.path}: the snapshot of event {checkpoint} is damaged")
    Router.restore([], state=found.body)  # what cannot be taken must not be all that is left
    done = list(_done(store, checkpoint))
    with store.transaction() as db:
        db["meta"].upsert({"key": "checkpoint", "value": str(checkpoint)}, pk="key")
        db.execute(
            "DELETE FROM meta WHERE substr(key, 1, 4) = 'pin:' AND CAST(value AS INTEGER) <= ?",
            [checkpoint],
        )
        db.execute("DELETE FROM snapshots WHERE seq < ?", [checkpoint])
        gone = int(db.execute(f"DELETE FROM events WHERE {_GONE}", [checkpoint] * 2).rowcount)
        for seq in done:
            db.execute("DELETE FROM events WHERE seq = ?", [seq])
        return gone + len(done)


def _done(store: EventStore, until: int) -> Iterator[int]:
    for event in store.events(kind="change"):
        if event.seq > until:
            return
        if isinstance(event, Change) and event.what in _DONE:
            yield event.seq


def pin(store: EventStore) -> None:
    """Keep the newest snapshot until it is old enough to be the checkpoint."""
    found = store.latest_snapshot()
    if found is not None and found.fold_version == FOLD_VERSION:
        with store.transaction() as db:
            db["meta"].upsert({"key": f"pin:{found.seq}", "value": str(found.seq)}, pk="key")


def pins(store: EventStore) -> list[tuple[int, float]]:
    """Return event and time of the snapshots that are to become the checkpoint, oldest first."""
    with store.transaction() as db:
        rows = db.execute(
            "SELECT s.seq, s.time FROM snapshots s JOIN meta m ON m.key = 'pin:' || s.seq"
            " WHERE s.body IS NOT NULL AND s.fold_version = ? ORDER BY s.seq",
            [FOLD_VERSION],
        ).fetchall()
    return [(int(seq), float(time)) for seq, time in rows]


def archive(store: EventStore, until: int, path: Path) -> int:
    """Write the events up to `until` to a new Parquet file; return how many.

    `body` holds each event as `codec.decode_event` reads it; the other columns are for analysts.

    Raises
    ------
    StoreError
        If there is such a file, it cannot be written, or pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise StoreError("archiving needs `pip install pyarrow`") from None
    schema = pa.schema(
        [("seq", pa.int64()), ("time", pa.float64()), ("kind", pa.string()),
         ("decision_id", pa.string()), ("model", pa.string()), ("cluster", pa.int64()),
         ("propensity", pa.float64()), ("reward", pa.float64()), ("source", pa.string()),
         ("cost_usd", pa.float64()), ("latency_ms", pa.float64()), ("body", pa.binary())]
    )  # fmt: skip
    partial = path.with_name(path.name + ".partial")
    if path.exists():
        raise StoreError(f"{path}: exists already: choose another name for the archive")
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
            for rows in _rows(store, until, schema.names):
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                count += len(rows)
        partial.rename(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error}") from None
    finally:
        partial.unlink(missing_ok=True)
    return count


def _rows(store: EventStore, until: int, names: list[str]) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for event in store.events():
        if event.seq > until:
            break
        rows.append(_row(event, names))
        if len(rows) == _CHUNK:
            yield rows
            rows = []
    yield rows


def _row(event: Event, names: list[str]) -> dict[str, Any]:
    row = {name: getattr(event, name, None) for name in names}
    return row | {"kind": event.__struct_config__.tag, "body": codec.encode_event(event)}


def with_text(store: Log, before: float, after: int, limit: int) -> tuple[list[str], int]:
    """Return ids of decisions made before a time whose text is kept, and where to look on.

    Parameters
    ----------
    after
        Only events after this one.
    limit
        At most so many events are looked at.
    """
    found: list[str] = []
    seen = 0
    for event in store.events(after=after, kind="decision"):
        if event.time >= before or seen == limit:
            break
        after, seen = event.seq, seen + 1
        if isinstance(event, Decision) and event.prompt is not None:
            found.append(event.decision_id)
    return found, after
