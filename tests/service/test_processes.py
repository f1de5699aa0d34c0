"""A service in a process of its own: stopped, killed, started twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bandit_router import Router
from bandit_router.service.serving import stopping
from bandit_router.store import EventStore

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("serve_words.py")
CONFIG = """
[store]
snapshot_every = 25

[[models]]
name = "small"

[[models]]
name = "large"
"""


class Service:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        line = process.stdout.readline()
        found = re.fullmatch(r"bandit-router listening on (http://127\.0\.0\.1:\d+)\n", line)
        assert found, line
        self.url = found[1]

    def call(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    def learn(self, n):
        ids = []
        for i in range(n):
            answer = self.call("/route", {"prompt": f"words about topic {i % 5} and more {i % 5}"})
            ids.append(answer["decision_id"])
            if i % 3:
                reward = 1.0 if answer["model"] == "large" else 0.25
                self.call("/feedback", {"decision_id": ids[-1], "reward": reward})
        return ids

    def stop(self, number):
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


def command(tmp_path: Path, db: Path) -> list[str]:
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    return [sys.executable, str(SCRIPT), str(config), str(db)]


@contextmanager
def serving(tmp_path: Path, db: Path) -> Iterator[Service]:
    process = subprocess.Popen(
        command(tmp_path, db),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield Service(process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(autouse=True)
def _terminal() -> Iterator[None]:
    """Be as in a terminal, also where the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def test_a_terminal_that_is_closed_stops_the_service_but_not_under_nohup():
    assert set(stopping()) == {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert set(stopping()) == {signal.SIGINT, signal.SIGTERM}
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_forgotten(tmp_path, db, how):
    with serving(tmp_path, db) as service:
        ids = service.learn(60)
        before = [service.call(path) for path in ("/clusters", "/models", "/lineage")]
        decision = service.call(f"/decisions/{ids[1]}")
        code = service.stop(how)
        assert code == (-signal.SIGKILL if how == signal.SIGKILL else 0)
    with serving(tmp_path, db) as service:
        after = [service.call(path) for path in ("/clusters", "/models", "/lineage")]
        assert after == before
        assert service.call(f"/decisions/{ids[1]}") == decision
        late = {"decision_id": ids[0], "reward": 1.0}
        assert service.call("/feedback", late) == {"status": "recorded"}
        assert service.call("/feedback", late) == {"status": "duplicate"}
        again = {"decision_id": ids[1], "reward": decision["feedback"][0]["reward"]}
        assert service.call("/feedback", again) == {"status": "duplicate"}


def test_a_snapshot_is_what_the_whole_log_comes_to(tmp_path, db):
    with serving(tmp_path, db) as service:
        service.learn(40)
        assert service.stop(signal.SIGINT) == 0
    store = EventStore.open(db, readonly=True)
    try:
        snapshot = store.latest_snapshot()
        assert snapshot is not None
        assert snapshot.seq == store.last_seq()
        folded = Router.restore(store.events(), recall=store.recall)
        assert folded.snapshot() == snapshot.body
    finally:
        store.close()


def test_a_second_service_on_the_same_database_is_refused(tmp_path, db):
    with serving(tmp_path, db) as service:
        second = subprocess.run(
            command(tmp_path, db),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert second.returncode == 1
        assert str(db) in second.stderr
        assert "Traceback" not in second.stderr
        assert service.call("/healthz") == {"status": "ok"}
