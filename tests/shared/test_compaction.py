"""Old events of a shared log fold into a checkpoint, by hand and by the learner that is elected."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

pytest.importorskip(
    "psycopg", reason="psycopg is not installed: pip install '.[postgres]'", exc_type=ImportError
)

from bandit_router import Router, codec
from bandit_router.cli import main
from bandit_router.exceptions import ConfigError, UnknownDecision
from bandit_router.fold import FOLD_VERSION
from bandit_router.service.keys import ENGINE
from bandit_router.service.opening import open_learner
from bandit_router.service.shared import compaction
from bandit_router.service.shared.compaction import Compaction
from bandit_router.service.shared.ids import Ids
from bandit_router.store import open_log, restore, retention, verify
from bandit_router.store.postgres import LearnerStore
from bandit_router.types import Decision, Feedback

from .test_replicas import CONFIG, decide, say, start, until  # noqa: F401

DAY = 86_400.0
KEEPING = msgspec.structs.replace(
    CONFIG,
    settings=msgspec.structs.replace(
        CONFIG.settings,
        store=msgspec.structs.replace(CONFIG.settings.store, keep_days=10.0, snapshot_every=10),
    ),
)


def write_old_log(url: str, decisions: int = 120, name: str = "d{}") -> bytes:
    """Write a log that begins 40 days ago, of one decision every quarter of a day.

    Two of three have feedback, and a snapshot is saved now and then. Return the state.
    """
    rng = np.random.default_rng(5)
    began = time.time() - 40 * DAY
    with closing(open_log(url)) as log:
        router = Router(CONFIG.models, settings=CONFIG.settings, embedder="none", recall=log.recall)
        log.append([router.initial])
        for i in range(decisions):
            then = began + i * DAY / 4
            made = router.decide(vector=rng.normal(size=3), time=then, decision_id=name.format(i))
            log.append([made], router.apply(made))
            if i % 3:
                said = Feedback(decision_id=made.decision_id, reward=float(rng.random()))
                event = router.judge(said, time=then)[1]
                log.append([event], router.apply(event))
            if i % 30 == 29:
                body = router.snapshot()
                log.save_snapshot(router.seq, body, codec.digest(body), FOLD_VERSION)
        spent = router.change("spent", {"key": "k", "usd": 1.0}, time=router.time)
        log.append([spent], router.apply(spent))
        return router.snapshot()


def knows(router: Router, decision_id: str) -> bool:
    try:
        router.history(decision_id)
    except UnknownDecision:
        return False
    return True


def ran(*line: str) -> dict[str, Any]:
    done = CliRunner().invoke(main, [*line, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_by_hand(url: str, tmp_path: Path):
    state = write_old_log(url)
    with closing(open_log(url, readonly=True)) as log:
        last, events = log.last_seq(), list(log.events())
        file = tmp_path / "old.parquet"
        found = ran("compact", "--db", url, "--keep-days", "20", "--archive", str(file))
        checkpoint = found["checkpoint"]
        assert found == {
            "checkpoint": checkpoint,
            "dropped": checkpoint - 1,  # the configuration stays
            "archived": checkpoint,
        }
        archived = [codec.decode_event(b) for b in pq.read_table(file)["body"].to_pylist()]
        assert archived == events[:checkpoint]
        assert [e.seq for e in log.events()] == [1, *range(checkpoint + 1, last + 1)]
        assert restore(log).snapshot() == state
        report = verify(log)
        assert (report.agrees, report.checkpoint) == (True, checkpoint)
        found = ran("compact", "--db", url, "--keep-days", "0")  # nothing is left but the sum of it
        assert log.counts() == {"change": 1}
        assert log.last_seq() == found["checkpoint"] == last
        again = restore(log)
        assert again.snapshot() == state
        assert not knows(again, "d1")
    with closing(open_log(url)) as log:  # and it goes on from there
        made = again.decide(vector=[1.0, 0.0, 0.0], time=time.time())
        log.append([made], again.apply(made))
        assert made.seq == last + 1
        assert verify(log).agrees


def test_what_is_refused(url: str, tmp_path: Path):
    compact = ["compact", "--db", url, "--keep-days", "1"]
    done = CliRunner().invoke(main, compact)
    assert (done.exit_code, "no log in this database" in done.stderr) == (1, True)
    write_old_log(url, decisions=3)
    with LearnerStore.open(url):
        done = CliRunner().invoke(main, compact)
    assert (done.exit_code, "stop the learners first" in done.stderr) == (1, True)
    store = msgspec.structs.replace(KEEPING.settings.store, archive=str(tmp_path))
    settings = msgspec.structs.replace(KEEPING.settings, store=store)
    with pytest.raises(ConfigError, match=r"store\.archive"):
        open_learner(msgspec.structs.replace(KEEPING, settings=settings), url)


def test_whoever_takes_over_drops_what_is_left(url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retention, "_AT_ONCE", 7)
    monkeypatch.setattr(compaction, "_PAUSE_SECONDS", 0.0)
    state = write_old_log(url)
    ids = [f"d{i}" for i in range(120)]

    def fold(log: LearnerStore) -> Router:
        """Return a router that holds in memory what can still be held."""
        if log.checkpoint():
            return restore(log)
        events = log.events()
        router = Router.restore([next(events)], recall=log.recall)
        for event in events:
            router.apply(event)
        return router

    def learn(turns: int) -> tuple[dict[str, int], int]:
        with LearnerStore.open(url) as log:
            router = fold(log)
            work = Compaction(log, router, keep_days=10.0)
            for _ in range(turns):
                work.turn()
                said = {e.decision_id for e in log.events() if isinstance(e, Feedback)}
                made = {e.decision_id for e in log.events() if isinstance(e, Decision)}
                assert said <= made  # a decision goes with all that was said of it
                assert all(knows(router, id_) == (id_ in made) for id_ in ids)
            assert router.snapshot() == restore(log).snapshot() == state
            assert verify(log).agrees
            return log.counts(), log.checkpoint()

    # Find nothing left over; pin; set the checkpoint; drop three times.
    some, checkpoint = learn(6)
    assert checkpoint > 0
    assert some["decision"] == 120 - 3 * 7 + 1  # the first event was no decision
    left, same = learn(40)
    assert same == checkpoint
    assert left.get("decision", 0) == 0


async def test_a_learner_folds_while_feedback_arrives(
    start: Any,  # noqa: F811
    url: str,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(retention, "_AT_ONCE", 5)
    monkeypatch.setattr(compaction, "_PAUSE_SECONDS", 0.05)
    write_old_log(url)
    learner = open_learner(KEEPING, url)
    learner.start()
    acknowledged: set[str] = set()
    fresh: list[str] = []
    try:
        one, two = await start("one"), await start("two")
        for client in (one, two):  # a busy machine may be slow to begin
            await until(lambda c=client: not c.app[ENGINE]._journal.away)
        with closing(open_log(url, readonly=True)) as log:
            for i in range(119, 0, -7):  # towards those that are dropped first
                fresh.append(await decide(one))
                assert await say(two, fresh[-1], 1.0) == "recorded"
                late = await say(one, f"d{i}", 0.25)
                assert late in ("recorded", "updated", 404)
                if late != 404:
                    acknowledged.add(f"d{i}")
            # Genuine, so it may be on its way from another replica; it waits, and counts nothing.
            secret = log.rows("SELECT value FROM meta WHERE key = 'secret'")[0][0]
            unknown = Ids(secret.encode()).make(None)
            assert await say(two, unknown, 1.0) == "recorded"

            def whole() -> bool:
                """Nothing old is left but what was said of late, and all of today is there."""
                made = {e.decision_id for e in log.events() if isinstance(e, Decision)}
                old = {id_ for id_ in made if id_.startswith("d") and id_[1:].isdigit()}
                return old <= acknowledged and len(made - old) == len(fresh)

            await until(whole)
            assert log.checkpoint() > 0
            assert await say(two, "d1", 1.0) in (404, "recorded", "updated")
            await asyncio.to_thread(learner.close)
            learner = open_learner(KEEPING, url)
            learner.start()
            last = await decide(two)
            assert await say(one, last, 0.5) == "recorded"
            await until(lambda: log.recall(last) is not None and log.recall(last).feedback)
            report = await asyncio.to_thread(verify, log)
            assert report.agrees
            assert report.checkpoint == log.checkpoint() > 0
            events = list(log.events())
            assert len({e.seq for e in events}) == len(events)
            made = Counter(e.decision_id for e in events if isinstance(e, Decision))
            said = Counter((e.decision_id, e.reward) for e in events if isinstance(e, Feedback))
            assert set(made.values()) == set(said.values()) == {1}
            assert {id_ for id_, _ in said} <= made.keys()
            assert unknown not in made
            for client in (one, two):
                await until(
                    lambda c=client: c.app[ENGINE].router.snapshot() == restore(log).snapshot()
                )
    finally:
        await asyncio.to_thread(learner.close)
