"""Old events fold into a checkpoint; what they held may be archived first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .. import codec
from ..exceptions import StoreError
from ..fold import FOLD_VERSION
from ..router import Router
from ..types import Change, Decision, Event
from .base import Log, Statement
from .fold import from_snapshot
from .rows import unpack

_CHUNK = 5_000
_AT_ONCE = 500
"""Decisions and changes that are looked at by one `drop`: SQLite takes 999 values at least."""

_DAY = 86_400.0
_DONE = ("erased", "spent")
"""Changes that nobody asks for once they are folded, of which there may be one a request."""


def fold_until(store: Log, before: float) -> int:
    """Save the fold of all events up to time `before` as a snapshot; return its event, 0 if none.

    Raises
    ------
    StoreError
        If the log cannot be folded, or its strategy needs the whole of it to start again.
    """
    checkpoint = store.checkpoint()
    if any(s.seq == checkpoint and s.time > before for s in store.snapshots()):
        return checkpoint  # of what is older nothing is left to fold
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
    if router.seq == checkpoint:  # nothing has happened since
        return router.seq
    if not router.restorable:
        raise StoreError("this strategy starts again from the whole log: nothing can be folded")
    body = router.snapshot()
    store.run(_noted(f"pin:{router.seq}", router.seq))  # or newer ones would cost it its body
    store.save_snapshot(router.seq, body, codec.digest(body), FOLD_VERSION)
    return router.seq


def compact(store: Log, checkpoint: int) -> int:
    """Drop the events up to a snapshot, which takes their place; return how many.

    Raises
    ------
    StoreError
        If there is no such snapshot that can be used.
    """
    settle(store, checkpoint)
    gone = after = 0
    while True:
        some, until = drop(store, checkpoint, after)
        if until == after:
            return gone
        gone, after = gone + some, until


def settle(store: Log, checkpoint: int) -> None:
    """Let a snapshot stand for all events up to its own: from now on they may be missing.

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
    store.run(
        _noted("checkpoint", checkpoint),
        (
            "DELETE FROM meta WHERE key IN (SELECT 'pin:' || seq FROM snapshots WHERE seq <= ?)",
            [checkpoint],
        ),
        ("DELETE FROM snapshots WHERE seq < ?", [checkpoint]),
    )


def drop(store: Log, checkpoint: int, after: int) -> tuple[int, int]:
    """Drop some of the events that a checkpoint stands for, in one short transaction.

    A decision goes with all that was said of it, so that nobody ever finds a part; it stays with
    all of it if something was said of it since. Most changes stay. Whoever calls sees to it that
    meanwhile nothing is said of decisions up to the checkpoint (`Router.forget_until`).

    Parameters
    ----------
    after
        Look at events after this one.

    Returns
    -------
    tuple
        How many were dropped, and where to look on; `after` again if there are no more.
    """
    rows = store.rows(
        "SELECT seq, decision_id, version, CASE WHEN kind = 'change' THEN body END FROM events"
        " WHERE seq > ? AND seq <= ? AND kind NOT IN ('outcome', 'feedback')"
        " ORDER BY seq LIMIT ?",
        [after, checkpoint, _AT_ONCE],
    )
    ids = [id_ for _, id_, _, change in rows if change is None]
    done = [seq for seq, _, version, change in rows if change and _is_done(seq, version, change)]
    if ids:
        sql = f"SELECT DISTINCT decision_id FROM events WHERE seq > ? AND {_among(ids)}"
        spoken_of = {id_ for (id_,) in store.rows(sql, [checkpoint, *ids])}
        ids = [id_ for id_ in ids if id_ not in spoken_of]
    statements = []
    if ids:
        statements.append((f"DELETE FROM events WHERE {_among(ids)}", ids))
    if done:
        statements.append((f"DELETE FROM events WHERE {_among(done, 'seq')}", done))
    gone = sum(store.run(*statements)) if statements else 0
    return gone, rows[-1][0] if rows else after


def _among(values: Sequence[Any], column: str = "decision_id") -> str:
    return f"{column} IN ({', '.join('?' * len(values))})"


def _is_done(seq: int, version: int, body: bytes) -> bool:
    event = unpack(seq, version, body)
    return isinstance(event, Change) and event.what in _DONE


def _noted(key: str, seq: int) -> Statement:
    sql = (
        "INSERT INTO meta (key, value) VALUES (?, ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    )
    return sql, [key, str(seq)]


def ripe(store: Log, now: float, keep: float) -> int:
    """Return the newest snapshot that is `keep` seconds old and was pinned, 0 if there is none.

    Pins another for later where the last one is a day old, or a quarter of `keep`.
    """
    pinned = pins(store)
    if not pinned or pinned[-1][1] <= now - min(_DAY, keep / 4):
        pin(store)
    checkpoint = store.checkpoint()
    return max((s for s, then in pinned if s > checkpoint and then <= now - keep), default=0)


def pin(store: Log) -> None:
    """Keep the newest snapshot until it is old enough to be the checkpoint."""
    found = store.latest_snapshot()
    if found is not None and found.fold_version == FOLD_VERSION:
        store.run(_noted(f"pin:{found.seq}", found.seq))


def pins(store: Log) -> list[tuple[int, float]]:
    """Return event and time of the snapshots that are to become the checkpoint, oldest first."""
    rows = store.rows(
        "SELECT s.seq, s.time FROM snapshots s JOIN meta m ON m.key = 'pin:' || s.seq"
        " WHERE s.body IS NOT NULL AND s.fold_version = ? ORDER BY s.seq",
        [FOLD_VERSION],
    )
    return [(int(seq), float(time)) for seq, time in rows]


def archive(store: Log, until: int, path: Path) -> int:
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


def _rows(store: Log, until: int, names: list[str]) -> Iterator[list[dict[str, Any]]]:
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
