"""How soon it is there: the help, the service, a long log restored."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import msgspec
import numpy as np

from ..codec import decode_state, digest, encode_state
from ..fold import FOLD_VERSION
from ..router import Router
from ..store import EventStore, restore
from ..types import Event, Feedback
from . import servers
from .core import stream, untaught
from .run import Run

ROUNDS = 3
_FOLDED = 20_000
_WRITTEN = 1_000
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
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        with EventStore.open(path) as store:
            body = _written(store, run.events)
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


def _written(store: EventStore, events: int) -> bytes:
    """Write a log and a snapshot of its end; return the state.

    Beyond `_FOLDED` events the log repeats itself under new numbers, unfolded: what is restored
    from a snapshot does not depend on what came before, only how long it takes might.
    """
    router = untaught(256, 8)
    folded = [router.initial, *_folded(router, min(events, _FOLDED))]
    store.append(folded)
    last = max(router.seq, events)
    for start in range(router.seq + 1, last + 1, _WRITTEN):
        some = range(start, min(start + _WRITTEN, last + 1))
        store.append([_again(folded[1 + (seq - 2) % (len(folded) - 1)], seq) for seq in some])
    body = encode_state({**decode_state(router.snapshot()), "seq": last})
    store.save_snapshot(last, body, digest(body), FOLD_VERSION)
    return body


def _folded(router: Router, events: int) -> Iterator[Event]:
    """Yield decisions and feedback in turn, folded."""
    vectors, rng = stream(256), np.random.default_rng(0)
    while router.seq < events:
        decision = router.route(vector=vectors[router.seq % len(vectors)])
        yield decision
        said = Feedback(decision_id=decision.decision_id, reward=float(rng.random()))
        _, event = router.judge(said)
        assert event is not None
        router.apply(event)
        yield event


def _again(event: Event, seq: int) -> Event:
    """Return an event under another number: decisions are those of even ones."""
    named = f"d{seq - seq % 2}"
    return msgspec.structs.replace(event, seq=seq, decision_id=named)
