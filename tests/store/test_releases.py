"""Databases of earlier releases, kept as they were written: they open, migrate and verify."""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from bandit_router.config import parse_config
from bandit_router.fold import FOLD_VERSION
from bandit_router.service import create_app
from bandit_router.service.keys import ENGINE
from bandit_router.store import EventStore, KeyStore, restore, verify
from bandit_router.store.schema import SCHEMA_VERSION

RELEASES = sorted(Path(__file__).with_name("releases").glob("*.db.gz"))
CONFIG = parse_config(
    {
        "embedder": {"name": "none"},
        "store": {"keep_prompts": True},
        "models": [
            {"name": "small", "input_usd_per_m": 0.1, "output_usd_per_m": 0.4},
            {"name": "large", "input_usd_per_m": 2.0, "output_usd_per_m": 8.0},
        ],
    }
)


@pytest.fixture(params=RELEASES, ids=lambda path: path.name)
def old(request, tmp_path):
    path = tmp_path / "old.db"
    path.write_bytes(gzip.decompress(request.param.read_bytes()))
    return path


def test_there_is_a_fixture_of_each_schema_before_this_one():
    kept = {int(path.name.split("-")[0].removeprefix("schema")) for path in RELEASES}
    assert kept >= set(range(1, SCHEMA_VERSION))


def test_it_verifies_as_it_is_and_stays_as_it_was(old):
    before = old.read_bytes()
    with EventStore.open(old, readonly=True) as store:
        report = verify(store)
    assert report.agrees
    assert (report.events, report.snapshots) == (268, 3)
    assert report.stale == 3  # no digest of other rules can be compared, and none is used
    assert old.read_bytes() == before


def test_it_migrates_and_nothing_is_lost(old):
    with EventStore.open(old) as store:
        events = list(store.events())
        router = restore(store)
        assert store.counts() == {"change": 2, "decision": 120, "feedback": 86, "outcome": 60}
    assert [event.seq for event in events] == list(range(1, 269))
    assert sum(arm.evidence for arm in router.arms()) == pytest.approx(82.0)
    assert router.history("dec-0005").decision.prompt == "prompt number 5"
    with closing(sqlite3.connect(old)) as db:
        [version] = db.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    assert int(version) == SCHEMA_VERSION
    with KeyStore(old) as keys:
        assert keys.all() == []
        keys.add("new")


async def test_the_service_goes_on_from_it(old):
    server = TestServer(create_app(CONFIG, db=old))
    async with TestClient(server) as client:
        router = await client.app[ENGINE].wait()
        assert router.seq >= 268
        late = {"decision_id": "dec-0003", "reward": 1.0}
        async with client.post("/feedback", json=late) as response:
            assert response.status == 200
    with EventStore.open(old, readonly=True) as store:
        report = verify(store)
        assert report.agrees
        assert (report.stale, report.snapshots > 0) == (0, True)
        assert {s.fold_version for s in store.snapshots()} == {FOLD_VERSION}
