"""A write at once: in the thread that asks, if nothing has to be waited for; else not at all."""

import sqlite3
import threading

import pytest
from event_samples import decision, feedback

from bandit_router.exceptions import StoreError
from bandit_router.store import EventStore, Writer, backfill, haste, pack


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    monkeypatch.setattr(backfill, "LATEST_S", 60.0)


@pytest.fixture
def open_store(store):
    """A store that has written something, so that no log has to be begun."""
    store.flush_decisions = False
    store.append([decision(1)])
    return store


def test_decisions_are_on_disk_when_it_returns(open_store, path):
    with EventStore.open(path, readonly=True) as reader:
        assert open_store.write_at_once(pack([decision(2), decision(3)]))
        assert [event.seq for event in reader.events()] == [1, 2, 3]
    open_store.append([feedback(4)])
    assert open_store.write_at_once(pack([decision(5)]))


def test_what_has_to_be_flushed_is_left_to_others(store):
    store.flush_decisions = False
    assert not store.write_at_once(pack([decision(1)]))  # it would begin the write-ahead log
    store.append([decision(1)])
    assert not store.write_at_once(pack([decision(2), feedback(3)]))
    store.flush_decisions = True
    assert not store.write_at_once(pack([decision(2)]))
    assert store.last_seq() == 1


def test_it_waits_for_no_other_thread(open_store):
    with open_store.transaction():
        done = threading.Event()
        found: list[bool] = []
        thread = threading.Thread(
            target=lambda: (found.append(open_store.write_at_once(pack([decision(2)]))), done.set())
        )
        thread.start()
        assert done.wait(10)
        thread.join()
    assert found == [False]
    assert open_store.write_at_once(pack([decision(2)]))


def test_it_waits_for_no_other_connection_and_a_write_does(open_store, path):
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    assert not open_store.write_at_once(pack([decision(2)]))
    threading.Timer(0.1, other.commit).start()
    open_store.write([pack([decision(2)])])  # as long as it takes
    assert open_store.write_at_once(pack([decision(3)]))
    assert open_store.last_seq() == 3
    other.close()


def test_after_a_slow_one_there_is_none_for_a_while(open_store, monkeypatch):
    monkeypatch.setattr(haste, "SLOW_S", -1.0)
    assert open_store.write_at_once(pack([decision(2)]))
    assert not open_store.write_at_once(pack([decision(3)]))
    monkeypatch.setattr(open_store, "_pace", haste.Pace())
    assert open_store.write_at_once(pack([decision(3)]))


def test_a_gap_is_refused_and_fails_what_comes_after_it(open_store):
    with Writer(open_store, at_once=open_store.write_at_once) as writer:
        with pytest.raises(StoreError, match="no gap"):
            writer.write_at_once(pack([decision(3)]))
        with pytest.raises(StoreError, match="earlier write failed"):
            writer.submit(pack([decision(2)]))
        writer.reset()
        assert writer.write_at_once(pack([decision(2)]))
    with pytest.raises(StoreError, match="closed"):
        writer.write_at_once(pack([decision(3)]))


def test_nothing_overtakes_what_waits(open_store):
    with Writer(open_store, at_once=open_store.write_at_once) as writer:
        with open_store._write_lock:
            future = writer.submit(pack([decision(2)]))
            assert not writer.write_at_once(pack([decision(3)]))
        future.result()
        assert writer.write_at_once(pack([decision(3)]))
    assert open_store.last_seq() == 3


def test_a_writer_without_it_says_so(open_store):
    with Writer(open_store) as writer:
        assert not writer.write_at_once(pack([decision(2)]))
