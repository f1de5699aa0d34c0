"""Old events fold into a checkpoint, and what was learnt does not change by it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bandit_router import Router, codec
from bandit_router.config import parse_config
from bandit_router.exceptions import InvalidInput, StoreError, UnknownDecision
from bandit_router.fold import FOLD_VERSION
from bandit_router.simulator.logs import read_log
from bandit_router.simulator.replay import replay
from bandit_router.store import EventStore, reader, restore, retention, verify
from bandit_router.store.retention import (
    archive,
    compact,
    drop,
    fold_until,
    pin,
    pins,
    settle,
    with_text,
)
from bandit_router.types import Feedback, Request

SETTINGS = parse_config({"store": {"keep_prompts": True}}).settings
NEEDLE = "a secret that nobody may find again"


def put(store, router, event):
    store.append([event], router.apply(event))
    return event


def live(store, router, first, last):
    """One decision a second, two of three with feedback."""
    rng = np.random.default_rng(first)
    for i in range(first, last):
        put(store, router, router.decide(
            f"{NEEDLE} {i}", vector=rng.normal(size=3), time=float(i), decision_id=f"d{i}",
            request=Request(metadata={"note": NEEDLE}),
        ))  # fmt: skip
        if i % 3:
            said = Feedback(decision_id=f"d{i}", reward=float(rng.random()))
            put(store, router, router.judge(said, time=float(i))[1])


def save(store, until):
    """Save a snapshot, as a service does now and then."""
    events = store.events()
    router = Router.restore([next(events)], recall=store.recall)
    for event in events:
        if event.time > until:
            break
        router.apply(event)
    body = router.snapshot()
    store.save_snapshot(router.seq, body, codec.digest(body), FOLD_VERSION)


@pytest.fixture
def store(path):
    with EventStore.open(path) as store:
        router = Router(["a", "b"], settings=SETTINGS, embedder="none", recall=store.recall)
        store.append([router.initial])
        live(store, router, 1, 101)
        said = Feedback(decision_id="d10", reward=0.5)  # late, beyond the checkpoint
        put(store, router, router.judge(said, time=101.0)[1])
        store.router = router
        yield store


def test_learning_is_unchanged(store, tmp_path):
    router = store.router
    before, last = router.snapshot(), store.last_seq()
    checkpoint = fold_until(store, before=50.0)
    assert 0 < checkpoint < last
    archived = archive(store, checkpoint, tmp_path / "old.parquet")
    gone = compact(store, checkpoint)
    assert gone == archived - 1 - 2  # the configuration stays, and d10 with its feedback
    assert (store.last_seq(), store.checkpoint()) == (last, checkpoint)
    assert restore(store).snapshot() == before
    report = verify(store)
    assert report.agrees
    assert report.checkpoint == checkpoint
    again = restore(store)
    assert again.history("d10").feedback[-1].reward == 0.5
    with pytest.raises(UnknownDecision):
        again.history("d11")
    live(store, again, 200, 230)
    said = Feedback(decision_id="d10", reward=1.0)
    put(store, again, again.judge(said, time=300.0)[1])
    assert verify(store).agrees
    assert compact(store, fold_until(store, before=220.0)) > 0
    assert fold_until(store, before=220.0) == store.checkpoint()  # nothing more to fold
    assert verify(store).agrees
    assert restore(store).snapshot() == again.snapshot()


def test_changes_that_may_come_with_each_request_go_too(store):
    router = store.router
    for time in (102.0, 103.0):
        put(store, router, router.change("spent", {"key": "k", "usd": 1.0}, time=time))
        put(store, router, router.change("erased", {"decision_ids": ["d99"]}, time=time))
    put(store, router, router.change("kill_switch", {"model": None}, time=103.0))
    live(store, router, 200, 210)
    compact(store, fold_until(store, before=102.5))
    left = [event for event in store.events(kind="change") if event.seq > 1]
    assert [change.what for change in left] == ["spent", "erased", "kill_switch"]
    assert verify(store).agrees
    assert restore(store).snapshot() == router.snapshot()


def test_the_archive_holds_what_went(store, tmp_path):
    events = list(store.events())
    file = tmp_path / "old.parquet"
    checkpoint = fold_until(store, before=50.0)
    archive(store, checkpoint, file)
    table = pq.read_table(file)
    assert [codec.decode_event(b) for b in table["body"].to_pylist()] == events[:checkpoint]
    assert set(table["kind"].to_pylist()) == {"change", "decision", "feedback"}
    with pytest.raises(StoreError, match="exists already"):
        archive(store, checkpoint, file)
    assert [f.name for f in tmp_path.glob("*.partial")] == []


def test_archives_are_logs_that_can_be_replayed(store, tmp_path):
    """All of them together say what the database said before anything went."""
    whole, folder = read_log(store.path), tmp_path / "archives" / "acme"
    for name, before in (("b", 50.0), ("a", 200.0)):  # their order is that of their events
        checkpoint = fold_until(store, before)
        archive(store, checkpoint, folder / f"{name}.parquet")
        compact(store, checkpoint)
    found = read_log(folder)  # what stayed after the first is in the second again
    assert len(found) == len(whole) == 100
    for one, other in zip(map(vars, found), map(vars, whole), strict=True):
        assert one.pop("vector").tobytes() == other.pop("vector").tobytes()
        assert one == other
    told = replay(folder, ["random"], progress=False)
    assert told["log"]["decisions"] == 100
    pq.write_table(pa.table({"seq": [1], "kind": ["decision"], "body": [b"x"]}), tmp_path / "x.pq")
    with pytest.raises(InvalidInput, match="event 1 cannot be read"):
        read_log(tmp_path / "x.pq")


def test_estimates_leave_out_what_is_no_longer_whole(store):
    compact(store, fold_until(store, before=50.0))
    store.close()
    assert len(read_log(store.path)) == 50  # d51 to d100, without d10


def test_a_checkpoint_must_be_sound(store):
    with pytest.raises(StoreError, match="no snapshot"):
        compact(store, 50)
    checkpoint = fold_until(store, before=50.0)
    compact(store, checkpoint)
    with store.transaction() as db:
        db.execute("UPDATE snapshots SET body = x'00' WHERE seq = ?", [checkpoint])
    with pytest.raises(StoreError, match="the checkpoint at event"):
        restore(store)
    with pytest.raises(StoreError, match="damaged"):
        verify(store)


def test_a_pinned_snapshot_outlives_newer_ones(store):
    save(store, 20.0)
    pin(store)
    for time in (30.0, 40.0, 50.0, 60.0, 70.0):
        save(store, time)
    [(seq, time)] = pins(store)
    assert time == 20.0
    assert compact(store, seq) > 0
    assert pins(store) == []
    assert verify(store).agrees


def test_what_is_erased_is_in_no_file(store):
    ids, after = with_text(store, before=60.0, after=0, limit=1000)
    assert ids == [f"d{i}" for i in range(1, 60)]
    assert with_text(store, before=60.0, after=after, limit=1000)[0] == []
    router = store.router
    every = [f"d{i}" for i in range(1, 101)]
    put(store, router, router.change("erased", {"decision_ids": every}))
    held = router.history("d7").decision
    assert (held.prompt, held.prompt_sha256, dict(held.request.metadata)) == (None, None, {})
    assert held.prompt_chars == len(f"{NEEDLE} 7")
    assert store.recall("d7").decision == held
    assert verify(store).agrees
    assert restore(store).snapshot() == router.snapshot()
    store.close()
    for file in store.path.parent.iterdir():
        assert NEEDLE.encode() not in file.read_bytes(), file


def test_what_was_interrupted_is_ended_and_what_is_older_is_no_error(store, monkeypatch):
    monkeypatch.setattr(retention, "_AT_ONCE", 10)
    checkpoint = fold_until(store, before=50.0)
    settle(store, checkpoint)
    some, _ = drop(store, checkpoint, 0)
    assert fold_until(store, before=40.0) == checkpoint
    assert verify(store).agrees
    assert some > 0
    assert compact(store, checkpoint) > some
    assert verify(store).agrees


def test_newer_snapshots_are_no_hindrance(store):
    for time in (60.0, 70.0, 80.0, 90.0):
        save(store, time)
    assert compact(store, fold_until(store, before=50.0)) > 0
    assert verify(store).agrees


def test_verify_begins_again_when_events_are_folded_away_meanwhile(store, monkeypatch):
    monkeypatch.setattr(reader, "CHUNK", 3)
    checkpoint = fold_until(store, before=50.0)
    seen = []

    def progress(seq):
        seen.append(seq)
        if len(seen) == 5:
            compact(store, checkpoint)

    report = verify(store, progress)
    assert report.agrees
    assert report.checkpoint == checkpoint
    assert min(seen) <= 5 < checkpoint
