"""Group commit: every future tells the truth, whatever the threads do."""

import threading
from concurrent.futures import Future

import pytest
from event_samples import born, change, feedback, run_of

from bandit_router.exceptions import StoreBusy, StoreError
from bandit_router.store import EventStore, Writer, pack


class Gate:
    """Holds the store's transactions back, so that submits pile up behind the first."""

    def __init__(self, store: EventStore) -> None:
        self._lock = store._write_lock

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self._lock.release()


def test_a_done_future_means_on_disk(store, path):
    with Writer(store) as writer, EventStore.open(path, readonly=True) as reader:
        for seq in range(1, 6):
            writer.submit(pack([feedback(seq)], [born(seq, seq)])).result()
            assert reader.last_seq() == seq
    assert [item.seq for item in store.lineage()] == [1, 2, 3, 4, 5]


def test_many_threads_share_transactions_and_lose_nothing(store):
    order = threading.Lock()
    made: list[Future[None]] = []
    submitted = threading.Semaphore(0)
    commits = 0

    def count(statement: str) -> None:
        nonlocal commits
        commits += statement == "COMMIT"

    store._writer.conn.set_trace_callback(count)
    with Writer(store) as writer:

        def work() -> None:
            for _ in range(50):
                with order:  # numbering and submitting are one step, as on an event loop
                    seq = 2 * len(made) + 1
                    future = writer.submit(pack(run_of(seq, seq + 1)))
                    made.append(future)
                submitted.release()
                future.result()

        threads = [threading.Thread(target=work) for _ in range(8)]
        with Gate(store):
            for thread in threads:
                thread.start()
            for _ in threads:
                submitted.acquire()  # each has submitted once, and waits for the disk
        for thread in threads:
            thread.join()
    assert [e.seq for e in store.events()] == list(range(1, 801))
    assert commits < 400  # the first eight shared two transactions at most


def test_reads_from_other_threads_go_on_beside_writes(store):
    store.append([change(1)])
    problems: list[BaseException] = []
    stop = threading.Event()

    def read() -> None:
        try:
            while not stop.is_set():
                seqs = [e.seq for e in store.events()]
                assert seqs == list(range(1, len(seqs) + 1))
                store.recall("d0", 5)
        except BaseException as error:
            problems.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    with Writer(store) as writer:
        for seq in range(2, 200):
            writer.submit(pack([feedback(seq)]))
    stop.set()
    for reader in readers:
        reader.join()
    assert problems == []
    assert store.last_seq() == 199


def test_a_failed_group_fails_every_future_and_what_comes_after_until_reset(store):
    store.append([change(1)])
    with Writer(store) as writer:
        with Gate(store):
            futures = [writer.submit(pack([feedback(seq)])) for seq in (2, 3, 5, 6)]
        for future in futures[2:]:
            assert isinstance(future.exception(), StoreError)
        assert isinstance(writer.failed, StoreError)
        with pytest.raises(StoreError, match="earlier write failed"):
            writer.submit(pack([feedback(2)]))
        # All or nothing: the group was one, unless the thread had taken its head already.
        written = [future.exception() is None for future in futures[:2]]
        assert store.last_seq() == 1 + sum(written)
        writer.reset()
        assert writer.failed is None
        next_seq = store.last_seq() + 1
        writer.submit(pack([feedback(next_seq)])).result()
        assert store.last_seq() == next_seq


def test_what_waits_behind_a_failure_fails_with_it(store):
    store._writer.execute("PRAGMA max_page_count = 1")  # the disk is full
    with Writer(store) as writer:
        with Gate(store):
            futures = [writer.submit(pack(run_of(1 + 500 * i, 500 + 500 * i))) for i in range(4)]
        assert all("disk is full" in str(f.exception()) for f in futures)
        store._writer.execute("PRAGMA max_page_count = 1000000")
        writer.reset()
        writer.submit(pack(run_of(1, 3))).result()
    assert store.last_seq() == 3


def test_a_bad_event_fails_only_its_own_caller(store):
    with Writer(store) as writer:
        with pytest.raises(StoreError, match="no gap"):
            writer.submit(pack([feedback(1), feedback(3)]))
        assert writer.failed is None
        writer.submit(pack([feedback(1)])).result()


def test_more_than_may_wait_is_refused_and_harms_nothing(store):
    with Writer(store, max_pending=5) as writer:
        with Gate(store):
            first = writer.submit(pack(run_of(1, 4)))
            with pytest.raises(StoreBusy, match="try again"):
                writer.submit(pack(run_of(5, 6)))
            second = writer.submit(pack(run_of(5, 5)))
            assert writer.pending == 5
        first.result()
        second.result()
        writer.flush()
        assert writer.pending == 0
        writer.submit(pack(run_of(6, 20))).result()  # more than may wait, and nothing does
    assert store.last_seq() == 20


def test_a_write_cannot_be_cancelled(store):
    with Writer(store) as writer:
        with Gate(store):
            future = writer.submit(pack([feedback(1)]))
            assert not future.cancel()
        future.result()
    assert store.last_seq() == 1


def test_flush_and_close_drain(store):
    writer = Writer(store)
    writer.flush()
    futures = [writer.submit(pack([feedback(seq)])) for seq in range(1, 101)]
    writer.flush()
    assert all(future.done() for future in futures)
    futures = [writer.submit(pack([feedback(seq)])) for seq in range(101, 201)]
    writer.close()
    writer.close()
    assert all(future.done() for future in futures)
    assert store.last_seq() == 200
    with pytest.raises(StoreError, match="closed"):
        writer.submit(pack([feedback(201)]))


def test_a_writer_that_never_wrote_leaves_no_thread(store):
    before = threading.active_count()
    Writer(store)
    assert threading.active_count() == before


def test_a_callback_may_submit_the_next_write(store):
    with Writer(store) as writer:
        done: Future[None] = Future()

        def more(_: Future[None]) -> None:
            writer.submit(pack([feedback(2)])).add_done_callback(
                lambda f: done.set_result(f.result())
            )

        writer.submit(pack([feedback(1)])).add_done_callback(more)
        done.result()
    assert store.last_seq() == 2
