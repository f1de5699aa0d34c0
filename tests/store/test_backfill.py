"""The write-ahead log is brought into the database beside the writes."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from event_samples import decision, feedback, run_of

from bandit_router.store import EventStore, backfill

PATIENCE_S = 20.0


def wait_for(met: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not met():
        assert time.monotonic() < end
        time.sleep(0.02)


def in_the_file(path: Path) -> int:
    """Return how many events there are in the database without its write-ahead log."""
    alone = path.with_name("alone.db")
    shutil.copy(path, alone)
    with sqlite3.connect(alone) as db:
        try:
            return int(db.execute("SELECT count(*) FROM events").fetchone()[0])
        except sqlite3.OperationalError:  # the table is in the log yet
            return 0
        finally:
            alone.unlink()


def test_a_little_is_in_the_database_a_second_later(store: EventStore, path: Path):
    store.append(run_of(1, 10))
    wait_for(lambda: in_the_file(path) == 10)


def test_the_log_begins_anew_while_it_is_written(
    store: EventStore, path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backfill, "EVERY", 50)
    monkeypatch.setattr(backfill, "LATEST_S", 60.0)  # only what is written tells
    wal = path.with_name(path.name + "-wal")
    for first in range(1, 20_001, 20):
        store.append(run_of(first, first + 19))
    assert wal.stat().st_size < path.stat().st_size / 2
    assert [event.seq for event in store.events()] == list(range(1, 20_001))


def test_a_reader_is_waited_for_by_the_log_and_by_no_write(store: EventStore, path: Path):
    store.append(run_of(1, 10))
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchone()
    store.append(run_of(11, 20))
    store.append(run_of(21, 30))
    assert store.last_seq() == 30
    assert reader.execute("SELECT count(*) FROM events").fetchone() == (10,)
    reader.close()
    store.append(run_of(31, 40))
    wait_for(lambda: in_the_file(path) == 40)


def test_nothing_is_left_in_the_log_once_it_is_emptied(store: EventStore, path: Path):
    store.append(run_of(1, 100))
    assert store._backfill is not None
    store._backfill.empty()
    assert path.with_name(path.name + "-wal").stat().st_size == 0
    assert in_the_file(path) == 100


def test_what_is_said_is_flushed_with_all_before_it(store: EventStore):
    def flushes() -> bool:
        assert store._writer is not None
        return store._writer.execute("PRAGMA synchronous").fetchone() == (2,)

    store.append([decision(1)])
    assert flushes()  # unless told otherwise
    store.flush_decisions = False
    store.append([decision(2), decision(3)])
    assert not flushes()
    store.append([decision(4), feedback(5)])
    assert flushes()
    store.append([decision(6)])
    store.save_note("some", "text")
    assert flushes()


def test_a_store_that_is_closed_has_no_thread(path: Path):
    for _ in range(3):
        with EventStore.open(path) as store:
            store.append(run_of(store.last_seq() + 1, store.last_seq() + 10))
            found = store._backfill
        assert found is not None
        assert found._thread is not None
        assert not found._thread.is_alive()
        assert in_the_file(path) == store_size(path)


def store_size(path: Path) -> int:
    with EventStore.open(path, readonly=True) as store:
        return store.last_seq()
