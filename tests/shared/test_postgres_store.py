"""The log in PostgreSQL does what the log in a file does."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from event_samples import born, decision, feedback, outcome, run_of

from bandit_router import Router, codec
from bandit_router.exceptions import InvalidInput, StoreError, StoreHeld
from bandit_router.fold import FOLD_VERSION
from bandit_router.store import EventStore, open_keys, open_log, restore, verify
from bandit_router.types import Change


def test_what_is_written_is_read(url):
    with closing(open_log(url)) as log:
        assert (log.last_seq(), log.latest_snapshot(), list(log.events())) == (0, None, [])
        events = [decision(1), outcome(2), feedback(3), decision(4, "d1")]
        log.append(events, [born(4)])
        with closing(open_log(url, readonly=True)) as reader:
            assert list(reader.events()) == events
            assert list(reader.events(after=2, kind="decision")) == events[3:]
            assert reader.lineage() == [born(4)] == reader.lineage(cluster=1)
            assert reader.recall("d0").feedback == (events[2],)
            assert reader.recall("d0", before_seq=3).feedback == ()
            assert reader.recall("none") is None
            assert reader.counts() == {"decision": 2, "feedback": 1, "outcome": 1}
            with pytest.raises(StoreError, match="read only"):
                reader.append(run_of(5, 5))
            log.save_note("a", "b")
            assert reader.note("a") == "b"


def test_no_gap_and_all_or_nothing(url):
    with closing(open_log(url)) as log:
        log.append(run_of(1, 3))
        with pytest.raises(StoreError, match="no gap"):
            log.append(run_of(5, 6))
        with pytest.raises(StoreError, match="no gap"):
            log.append(run_of(3, 4))
        assert log.last_seq() == 3


def test_one_process_writes(url):
    with closing(open_log(url)):
        with pytest.raises(StoreHeld):
            open_log(url)
        open_log(url, readonly=True).close()
    open_log(url).close()


def test_what_is_erased_is_gone(url):
    with closing(open_log(url)) as log:
        log.append([decision(1, prompt="a secret", prompt_sha256="x")])
        log.append([Change(seq=2, time=2.0, what="erased", body={"decision_ids": ["d0"]})])
        [kept, _] = log.events()
        assert (kept.prompt, kept.prompt_sha256, kept.model) == (None, None, "a")


def test_the_same_log_as_in_a_file_and_verified(url, tmp_path: Path):
    rng = np.random.default_rng(3)
    with EventStore.open(tmp_path / "log.db") as file, closing(open_log(url)) as shared:
        router = Router(["a", "b"], embedder="none", recall=shared.recall)
        for log in (file, shared):
            log.append([router.initial])
        for i in range(60):
            event = router.decide(vector=rng.normal(size=6), time=float(i))
            lineage = router.apply(event)
            _, said = router.judge(feedback(0, event.decision_id))
            lineage += router.apply(said)
            for log in (file, shared):
                log.append([event, said], lineage)
            if i % 20 == 19:
                body = router.snapshot()
                for log in (file, shared):
                    log.save_snapshot(router.seq, body, codec.digest(body), FOLD_VERSION)
        assert verify(shared) == verify(file)
        assert verify(shared).agrees
        assert shared.lineage() == file.lineage()
        assert shared.snapshots() == file.snapshots()
        assert restore(shared).snapshot() == router.snapshot()
        shared.save_snapshot(40, None, "wrong", FOLD_VERSION)
        assert [m.seq for m in verify(shared).mismatches] == [40]


def test_a_foreign_and_an_absent_database_are_told(url):
    import psycopg

    with pytest.raises(StoreError, match="no log in this database"):
        open_log(url, readonly=True)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE meta (a int)")
    with pytest.raises(StoreError, match="another application"):
        open_log(url)
    with pytest.raises(StoreError, match=r"postgresql://127\.0\.0\.1:1/x"):
        open_log("postgresql://me:secret@127.0.0.1:1/x")
    with pytest.raises(StoreError, match="cannot be read"):
        open_log("postgresql://[")


def test_keys(url):
    with open_keys(url) as keys, open_keys(url) as others:
        key, text = keys.add("app", usd_per_day=2.0)
        assert others.all() == [key]
        assert text.startswith("br_")
        with pytest.raises(InvalidInput, match="there is a key"):
            others.add("app")
        assert others.revoke("app").revoked is not None
        assert keys.all()[0].revoked is not None
        others.add("app")
