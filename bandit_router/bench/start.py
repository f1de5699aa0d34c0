"""How soon it is there: the help, the service, a long log restored."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

from ..codec import digest
from ..fold import FOLD_VERSION
from ..store import EventStore, restore
from ..types import Event, Feedback
from . import servers
from .core import stream, untaught
from .run import Run

ROUNDS = 3
_CONFIG = '[embedder]\nname = "static"\n[[models]]\nname = "a"\n[[models]]\nname = "b"\n'


def figures(run: Run) -> dict[str, float]:
    """Return seconds (medians), and the memory of a service that is ready, megabytes."""
    run("bandit-router --help")
    out = {"start_help_s": float(np.median([_help() for _ in range(ROUNDS)]))}
    run("serve with static until it is ready")
    ready = [_ready() for _ in range(ROUNDS)]
    out["start_ready_s"] = float(np.median([seconds for seconds, _ in ready]))
    out["start_ready_rss_mb"] = float(np.median([megabytes for _, megabytes in ready]))
    return out | _restored(run)


def _help() -> float:
    start = perf_counter()
    command = [sys.executable, "-m", "bandit_router", "--help"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - start


def _ready() -> tuple[float, float]:
    start = perf_counter()
    with servers.service(_CONFIG) as server:
        return perf_counter() - start, server.memory_mb()


def _restored(run: Run) -> dict[str, float]:
    """Restore a log of so many events from a snapshot of its end, as after a clean stop."""
    run(f"a log of {run.events:,} events (--events)")
    router, vectors = untaught(256, 8), stream(256)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        with EventStore.open(path) as store:
            events: list[Event] = [router.initial]
            while router.seq < run.events:
                decision = router.route(vector=vectors[router.seq % len(vectors)])
                events.append(decision)
                said = Feedback(decision_id=decision.decision_id, reward=float(rng.random()))
                _, event = router.judge(said)
                assert event is not None
                router.apply(event)
                events.append(event)
                if len(events) > 1000:
                    store.append(events)
                    events = []
            store.append(events)
            body = router.snapshot()
            store.save_snapshot(router.seq, body, digest(body), FOLD_VERSION)
        start = perf_counter()
        with EventStore.open(path) as store:
            found = restore(store)
        seconds = perf_counter() - start
        size = path.stat().st_size
    assert found.snapshot() == body
    return {
        "restore_events": float(found.seq),
        "restore_s": seconds,
        "restore_database_bytes_per_event": size / found.seq,
    }
