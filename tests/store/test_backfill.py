"""The write-ahead log is brought into the database beside the writes."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from event_samples import decision, feedback, run_of

from bandit_router.store import EventStore, backfill, events
from bandit_router.types import Change

PATIENCE_S = 20.0


def wait_for(met: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not met():
        assert time.monotonic() < end
        time.sleep(0.02)


def in_the_file(path: Path) -> int:
    """Return how many events there are in the database without its write-ahead log."""
    uri = f"{path.as_uri()}?immutable=1"  # as if nobody wrote: the log is not looked at
    with closing(sqlite3.connect(uri, uri=True)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM events").fetchone()[0])
        except sqlite3.DatabaseError:  # the table is in the log yet, or half of it
            return 0


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
    # 73 MB, had it never begun anew; how long it is says how long a disk once took.
    assert wal.stat().st_size < 40_000_000
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


def test_the_log_is_short_again_after_a_long_reader(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(events, "LONGEST", 100_000)
    wal = path.with_name(path.name + "-wal")
    with EventStore.open(path) as store:
        store.append(run_of(1, 10))
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM events").fetchone()
            store.append(run_of(11, 5000))
            assert wal.stat().st_size > 200_000
        store.append(run_of(5001, 5010))
        wait_for(lambda: in_the_file(path) == 5010)

        def short_again() -> bool:
            first = store.last_seq() + 1
            store.append(run_of(first, first + 9))
            return wal.stat().st_size <= 100_000

        wait_for(short_again)  # what is in the database is not known to be there at once


def test_what_a_reader_keeps_in_the_log_is_flushed_there(
    store: EventStore, path: Path, monkeypatch: pytest.MonkeyPatch
):
    store.flush_decisions = False
    store.append([decision(1)])
    wait_for(lambda: in_the_file(path) == 1)
    flushed = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        fsync(fd)
        flushed.append(os.readlink(f"/proc/self/fd/{fd}"))

    monkeypatch.setattr(os, "fsync", noted)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        store.append([decision(2)])
        wait_for(lambda: flushed == [f"{path}-wal"])
        assert in_the_file(path) == 1


def test_it_begins_only_while_something_is_left_to_do(
    store: EventStore, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Else a write may begin the log anew at that moment, which SQLite does not always survive."""
    monkeypatch.setattr(backfill, "LATEST_S", 0.05)
    assert store._backfill is not None
    passes: list[str] = []

    def traced(sql: str) -> None:
        if "checkpoint" not in sql:
            return
        passes.append(sql)
        if len(passes) == 1:  # beside the writes: it is done by the second, under their lock
            store.append(run_of(11, 20))

    store._backfill._db.conn.set_trace_callback(traced)
    store.append(run_of(1, 10))
    wait_for(lambda: in_the_file(path) == 20)
    with store.transaction() as db:  # changes nothing
        db.execute("DELETE FROM events WHERE seq = 0")
    time.sleep(10 * backfill.LATEST_S)
    assert passes == ["PRAGMA wal_checkpoint(PASSIVE)"] * 2
    assert store._writer is not None
    assert store._writer.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)


def test_of_much_only_little_is_done_while_writes_wait(
    store: EventStore, path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backfill, "FEW", 5)
    monkeypatch.setattr(backfill, "_SOON_S", PATIENCE_S)
    monkeypatch.setattr(backfill, "LATEST_S", 0.05)
    assert store._backfill is not None
    waiting: list[bool] = []  # at each pass, whether writes wait

    def traced(sql: str) -> None:
        if "checkpoint" not in sql:
            return
        waiting.append(store._write_lock.locked())
        if len(waiting) < 3:
            last = store.last_seq()
            store.append(run_of(last + 1, last + 10))
            threading.Timer(0.01, lambda: store.append([feedback(store.last_seq() + 1)])).start()

    store._backfill._db.conn.set_trace_callback(traced)
    store.append(run_of(1, 10))
    wait_for(lambda: len(waiting) >= 4)
    assert waiting[:4] == [False, False, False, True]


def test_what_is_told_of_late_is_not_taken_for_new(
    store: EventStore, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A write is told of after its commit: meanwhile a pass may have done it already."""
    monkeypatch.setattr(backfill, "LATEST_S", 0.05)
    assert store._backfill is not None
    told, passes = store._backfill.written, []
    late = threading.Event()

    def written(rows: int) -> None:
        if store.last_seq() == 20:
            late.wait(PATIENCE_S)  # the pass beside this write is over by then
        told(rows)

    def traced(sql: str) -> None:
        if "checkpoint" not in sql:
            return
        passes.append(store._backfill._new)
        if len(passes) == 1:
            threading.Thread(target=store.append, args=(run_of(11, 20),)).start()
            wait_for(lambda: store.last_seq() == 20)
            threading.Timer(0.3, late.set).start()

    monkeypatch.setattr(store._backfill, "written", written)
    store._backfill._db.conn.set_trace_callback(traced)
    store.append(run_of(1, 10))
    wait_for(lambda: in_the_file(path) == 20 and store._backfill._rows == 0)
    time.sleep(5 * backfill.LATEST_S)
    assert passes == [10, 0]  # the second, under the lock, is the last


def test_no_other_connection_writes_while_the_rest_is_done(
    store: EventStore, path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backfill, "LATEST_S", 0.05)
    assert store._backfill is not None
    refused: list[bool] = []

    def traced(sql: str) -> None:
        if "checkpoint" not in sql:
            return
        with closing(sqlite3.connect(path, timeout=0.0, isolation_level=None)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                refused.append(True)
            else:
                refused.append(False)

    store._backfill._db.conn.set_trace_callback(traced)
    store.append(run_of(1, 10))
    wait_for(lambda: in_the_file(path) == 10)
    wait_for(lambda: refused == [False, True])
    store.append(run_of(11, 20))


def test_what_fails_is_told_once_and_tried_again(
    store: EventStore, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(backfill, "LATEST_S", 0.05)
    assert store._backfill is not None
    store.append(run_of(1, 1000))
    store._backfill.empty()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, limits[1]))
    try:
        store.append(run_of(1001, 1200))  # there is room for it in the log, not in the database
        wait_for(lambda: bool(caplog.records))
        store.append(run_of(1201, 1210))
        time.sleep(10 * backfill.LATEST_S)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    wait_for(lambda: in_the_file(path) == 1210)
    assert len(caplog.records) == 1
    assert "stays as it is" in caplog.text


def test_nothing_is_left_in_the_log_once_it_is_emptied(store: EventStore, path: Path):
    store.append(run_of(1, 100))
    assert store._backfill is not None
    store._backfill.empty()
    assert path.with_name(path.name + "-wal").stat().st_size == 0
    assert in_the_file(path) == 100


def test_what_is_erased_beside_a_reader_is_gone_soon_after_it(
    store: EventStore, path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backfill, "PATIENCE_S", 0.1)
    monkeypatch.setattr(backfill, "LATEST_S", 0.1)
    wal = path.with_name(path.name + "-wal")
    store.append([decision(1, prompt="xylophone")])
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        erased = Change(seq=2, time=2.0, what="erased", body={"decision_ids": ["d0"]})
        store.append([erased])
        time.sleep(5 * backfill.LATEST_S)
        store.append([decision(3, "d1")])
        assert b"xylophone" in wal.read_bytes()
    wait_for(lambda: b"xylophone" not in wal.read_bytes())
    wait_for(lambda: in_the_file(path) == 3)
    assert b"xylophone" not in path.read_bytes()


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


def test_who_closes_waits_for_who_empties(path: Path):
    store = EventStore.open(path)
    store.append([decision(1), feedback(2)])
    erased = Change(seq=3, time=3.0, what="erased", body={"decision_ids": ["d0"]})
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        erasing = threading.Thread(target=store.append, args=([erased],))
        erasing.start()
        wait_for(lambda: store.last_seq() == 3)  # from now on it waits for the reader
        closers = [threading.Thread(target=store.close) for _ in range(2)]
        for thread in closers:
            thread.start()
        for thread in (erasing, *closers):
            thread.join()
    assert store_size(path) == 3


def test_a_process_ends_though_its_store_was_not_closed(path: Path):
    script = f"""
from bandit_router.store import EventStore
from bandit_router.types import Change

store = EventStore.open({str(path)!r})
store.append([Change(seq=1, time=1.0, what="configured", body={{}})])
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    assert store_size(path) == 1


def store_size(path: Path) -> int:
    with EventStore.open(path, readonly=True) as store:
        return store.last_seq()
