"""The log gives back what was appended: all of it, in order, nothing else."""

import itertools
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from event_samples import EVENTS, IDS, born, change, decision, feedback, outcome, run_of
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit_router.exceptions import StoreError
from bandit_router.memory import with_event
from bandit_router.store import EventStore
from bandit_router.store.rows import DECISION
from bandit_router.types import Decision, Event, Feedback, History, LineageEvent, Outcome


def numbered(events: list[Event]) -> list[Event]:
    return [msgspec.structs.replace(event, seq=i) for i, event in enumerate(events, 1)]


def expected(events: list[Event], decision_id: str, before: int) -> History | None:
    """What a reader of the whole list would say of a decision."""
    about = [e for e in events if e.seq < before and getattr(e, "decision_id", "") == decision_id]
    made = [e for e in about if isinstance(e, Decision)]
    if not made:
        return None
    said = History(decision=made[-1])
    for event in about:
        if event.seq > made[-1].seq and isinstance(event, Outcome | Feedback):
            said = with_event(said, event)
    return said


@settings(deadline=None, max_examples=60)
@given(st.lists(EVENTS, max_size=12).map(numbered), st.data())
def test_any_split_into_appends_gives_the_same_log(events: list[Event], data: st.DataObject):
    cuts = data.draw(st.lists(st.integers(0, len(events)), max_size=4).map(sorted))
    bounds = [0, *cuts, len(events)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.db"
        with EventStore.open(path) as store:
            for start, stop in itertools.pairwise(bounds):
                store.append(events[start:stop])
            before = data.draw(st.integers(0, len(events) + 2))
            for decision_id in IDS:
                assert store.recall(decision_id) == expected(events, decision_id, 2**62)
                assert store.recall(decision_id, before) == expected(events, decision_id, before)
        with EventStore.open(path, readonly=True) as again:
            assert list(again.events()) == events
            after = data.draw(st.integers(0, len(events)))
            assert list(again.events(after)) == events[after:]
            assert again.last_seq() == len(events)
            kinds = Counter(event.__struct_config__.tag for event in events)
            assert again.counts() == dict(sorted(kinds.items()))
            kinds = Counter(event.__struct_config__.tag for event in events[:after])
            assert again.counts(until=after) == dict(sorted(kinds.items()))


def test_an_empty_log(store: EventStore):
    assert store.last_seq() == 0
    assert list(store.events()) == []
    assert store.recall("d0") is None
    assert store.latest_snapshot() is None
    assert store.snapshots() == []
    assert store.lineage() == []
    assert store.counts() == {}
    store.append([])
    assert store.last_seq() == 0


@pytest.mark.parametrize("first", [0, 1, 2, 4, 99])
def test_an_append_that_does_not_go_on_from_the_last_event_is_refused(store, first):
    store.append(run_of(1, 2))
    with pytest.raises(StoreError, match="no gap"):
        store.append(run_of(first, first + 1), [born(first)])
    assert store.last_seq() == 2
    assert store.lineage() == []
    store.append(run_of(3, 4))
    assert store.last_seq() == 4


def test_an_append_goes_on_from_what_others_left_of_the_log(store):
    store.append(run_of(1, 3))
    store.run(("DELETE FROM events WHERE seq = ?", [3]))
    with pytest.raises(StoreError, match="no gap"):
        store.append(run_of(4, 4))
    store.append(run_of(3, 4))
    assert store.last_seq() == 4


def test_an_append_with_a_gap_inside_is_refused_whole(store):
    with pytest.raises(StoreError, match="no gap"):
        store.append([feedback(1), feedback(3)])
    assert store.last_seq() == 0


@pytest.mark.parametrize("value", [10**30, "\ud800", object()])
def test_an_event_that_cannot_be_written_is_refused_whole(store, value):
    bad = msgspec.structs.replace(change(2), body={"value": value})
    with pytest.raises(StoreError, match="event 2 cannot be written"):
        store.append([feedback(1), bad])
    assert store.last_seq() == 0


def test_an_event_without_a_time_is_refused_whole(store):
    with pytest.raises(StoreError):
        store.append([feedback(1), msgspec.structs.replace(feedback(2), time=float("nan"))])
    assert store.last_seq() == 0


def test_events_of_one_kind(store):
    log = [change(1), decision(2), outcome(3), change(4), feedback(5)]
    store.append(log)
    assert list(store.events(kind="change")) == [log[0], log[3]]
    assert list(store.events(1, kind="change")) == [log[3]]
    assert store.counts() == {"change": 2, "decision": 1, "feedback": 1, "outcome": 1}


@pytest.mark.parametrize("index", ["new", "of earlier releases"])
def test_what_asks_for_kinds_never_reads_all_events(store, path, monkeypatch, index):
    if index != "new":
        with sqlite3.connect(path) as raw:
            raw.execute("DROP INDEX idx_events_kind")
            raw.execute("CREATE INDEX idx_events_kind ON events (kind)")
        raw.close()
    store.append([change(1), decision(2), outcome(3), change(4), feedback(5)])
    asked, rows = [], store.rows
    with monkeypatch.context() as patch:
        patch.setattr(store, "rows", lambda sql, args=(): asked.append(sql) or rows(sql, args))
        assert len(list(store.events(kind="change"))) == 2
        assert len(store.counts()) == 4
    plans = [
        str(step[-1])
        for sql in dict.fromkeys(asked)
        for step in rows(f"EXPLAIN QUERY PLAN {sql}", [0] * sql.count("?"))
        if "events" in str(step[-1])
    ]
    assert len(plans) == 3
    assert all("INDEX idx_events_" in plan for plan in plans), plans


def test_a_long_log_is_read_while_it_grows(store):
    store.append(run_of(1, 1200))
    reading = store.events()
    head = list(itertools.islice(reading, 700))
    store.append(run_of(1201, 1300))
    assert [e.seq for e in head + list(reading)] == list(range(1, 1301))


def test_a_half_read_log_does_not_stop_a_checkpoint(store, path):
    store.append(run_of(1, 1200))
    reading = store.events()
    next(reading)
    raw = sqlite3.connect(path)
    busy, _, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    raw.close()
    assert busy == 0


def test_every_commit_is_forced_to_disk(store):
    db = store._writer
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)


# -- lineage ------------------------------------------------------------------------------------


def test_lineage_comes_back_in_order_and_by_cluster(store):
    items = [born(1, 1), born(1, 2, 1), born(3, 3), born(3, 4, 2)]
    store.append(run_of(1, 3), items)
    assert store.lineage() == items
    assert store.lineage(after=1) == items[2:]
    assert store.lineage(cluster=2) == [items[1], items[3]]
    assert store.lineage(cluster=9) == []


@given(st.lists(st.integers(1, 6), max_size=12).map(sorted), st.integers(1, 5))
@settings(deadline=None, max_examples=30)
def test_pages_of_lineage_lose_nothing(seqs: list[int], limit: int):
    items = [born(seq, cluster) for cluster, seq in enumerate(seqs, 1)]
    with tempfile.TemporaryDirectory() as folder, EventStore.open(f"{folder}/x.db") as store:
        store.append(run_of(1, 6), items)
        seen: list[LineageEvent] = []
        while page := store.lineage(after=seen[-1].seq if seen else 0, limit=limit):
            seen += page
        assert seen == items


def test_lineage_is_written_only_with_its_own_event(store):
    store.append(run_of(1, 2), [born(2)])
    for events in (run_of(3, 3), []):
        with pytest.raises(StoreError, match="together"):
            store.append(events, [born(2)])  # what a second fold of event 2 would give again
    assert store.lineage() == [born(2)]


# -- snapshots ----------------------------------------------------------------------------------


def test_only_the_newest_bodies_are_kept_and_every_digest(store):
    store.append(run_of(1, 10))
    for seq in range(1, 6):
        store.save_snapshot(seq, b"state %d" % seq, f"digest {seq}", 7)
    store.save_snapshot(9, None, "digest 9", 8)
    newest = store.latest_snapshot()
    assert newest is not None
    assert (newest.seq, newest.body, newest.digest) == (5, b"state 5", "digest 5")
    assert (newest.fold_version, newest.time) == (7, 5.0)
    assert [(s.seq, s.digest, s.has_body) for s in store.snapshots()] == [
        (1, "digest 1", False),
        (2, "digest 2", False),
        (3, "digest 3", True),
        (4, "digest 4", True),
        (5, "digest 5", True),
        (9, "digest 9", False),
    ]


def test_a_snapshot_of_the_same_event_replaces_the_first(store):
    store.append(run_of(1, 1))
    store.save_snapshot(1, b"old", "old", 1)
    store.save_snapshot(1, b"new", "new", 2)
    assert [(s.seq, s.digest, s.fold_version) for s in store.snapshots()] == [(1, "new", 2)]


def test_a_snapshot_of_what_is_not_on_disk_is_refused(store):
    store.append(run_of(1, 1))
    with pytest.raises(StoreError, match="no 2"):
        store.save_snapshot(2, b"x", "x", 1)
    assert store.snapshots() == []


def test_erasing_a_decision_does_not_read_the_others(store: EventStore, path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        plan = db.execute(f"EXPLAIN QUERY PLAN {DECISION}", ["d"]).fetchall()
    assert all("decision_id=?" in step[-1] for step in plan), plan
