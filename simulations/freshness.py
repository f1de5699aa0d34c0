"""How old is a replica's map when a thousand events a second go through the database?

    createdb router && python -m simulations.freshness postgresql://localhost/router

Replicas, as the service has them, decide on embedded prompts of the demo table and are told of
each decision at once: half of the events are decisions, half feedback. A learner is a process of
its own. A replica's map is as old as the oldest event, of whichever replica, that was on a disk
by then and is not in the map; it is looked at every 20 ms, by the clock that wrote the event.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import bandit_router.service.demo
from bandit_router import Feedback, Model
from bandit_router.config import Config, EmbedderSettings, Settings
from bandit_router.policies import Outside
from bandit_router.service.journal import Batch
from bandit_router.service.shared import open_replica
from bandit_router.service.shared.replica import Replica
from bandit_router.types import Request

CONFIG = Config(
    settings=Settings(embedder=EmbedderSettings(name="none")),
    models=tuple(Model(name=f"model {i}") for i in range(4)),
)
VECTORS = Path(bandit_router.service.demo.__file__).parent / "table/minilm.npz"
LEARNER = "from simulations.freshness import CONFIG; from bandit_router.service import learn; "
_TICK = 0.01
_LOOK = 0.02


class Talk:
    """What one replica is told, and when each event of it was on the disk."""

    def __init__(self, replica: Replica, seed: int) -> None:
        self.replica = replica
        self.number = 0
        self.written: deque[tuple[int, float]] = deque()
        self._rng = np.random.default_rng(seed)
        self._vectors = np.load(VECTORS)["vectors"].astype(np.float32)

    async def say(self, pairs: int) -> None:
        """Decide, and tell of each decision."""

        def make(batch: Batch) -> None:
            for _ in range(pairs):
                vector = self._vectors[self._rng.integers(len(self._vectors))]
                vector = vector + self._rng.normal(scale=0.02, size=vector.shape)
                decision = batch.decide(None, vector, Request(), Outside())
                reward = float(self._rng.random())
                said = Feedback(decision_id=decision.decision_id, reward=reward)
                batch.judge(said, None, signed=False)
            self.number = batch.events[-1].seq

        await self.replica.write(make)
        self.written.append((self.number, time.monotonic()))

    async def keep_saying(self, rate: float, end: float) -> None:
        """Say `rate` events a second."""
        due, said = time.monotonic(), 0.0
        waiting: set[asyncio.Task[None]] = set()
        while (now := time.monotonic()) < end:
            pairs = int((now - due) * rate / 2 - said)
            if pairs > 0:
                said += pairs
                waiting.add(task := asyncio.create_task(self.say(pairs)))
                task.add_done_callback(waiting.discard)
            await asyncio.sleep(_TICK)
        await asyncio.gather(*waiting)


def age(looking: Replica, talks: list[Talk], now: float) -> float:
    """Return how old a replica's map is, seconds."""
    marks = {} if looking._state is None else looking._state.marks
    oldest = now
    for talk in talks:
        mark = marks.get(talk.replica._outbox.name, 0)
        found = next((at for number, at in talk.written if number > mark), now)
        oldest = min(oldest, found)
    return now - oldest


async def study(url: str, rate: float, seconds: float, replicas: int, warm: float) -> Any:
    """Return the ages found, in quantiles."""
    with tempfile.TemporaryDirectory() as name:
        opened = [open_replica(url, Path(name, f"{i}.db"), CONFIG) for i in range(replicas)]
        for replica in opened:
            replica.start()
        for replica in opened:
            while replica._router is None:
                await asyncio.sleep(0.1)
        talks = [Talk(replica, seed) for seed, replica in enumerate(opened)]
        began = time.monotonic()
        end = began + warm + seconds
        work = [asyncio.create_task(talk.keep_saying(rate / replicas, end)) for talk in talks]
        ages: list[float] = []
        late = 0.0
        while (now := time.monotonic()) < end:
            if now > began + warm:
                ages += [age(replica, talks, now) for replica in opened]
                for talk in talks:  # what every map holds is of no more use
                    while len(talk.written) > 10_000:
                        talk.written.popleft()
            await asyncio.sleep(_LOOK)
            late = max(late, time.monotonic() - now - _LOOK)
        await asyncio.gather(*work)
        said = sum(talk.number for talk in talks)
        took = time.monotonic() - began
        for replica in opened:
            await replica.close()
    quantiles = np.quantile(ages, [0.5, 0.95, 0.99, 1.0]).round(3).tolist()
    return {
        "replicas": replicas,
        "events": said,
        "events_per_second": round(said / took),
        "age_s": dict(zip(("p50", "p95", "p99", "max"), quantiles, strict=True)),
        "within_1_s": round(float(np.mean(np.array(ages) <= 1.0)), 4),
        "longest_pause_of_this_process_s": round(late, 3),
    }


def main() -> None:
    """Start a learner, run the study and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("url", help="of an empty database")
    parser.add_argument("--rate", type=float, default=1000.0, help="events a second, of all")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--warm", type=float, default=5.0, help="seconds before it is measured")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    code = f"{LEARNER}learn(CONFIG, db={args.url!r})"
    with subprocess.Popen([sys.executable, "-c", code]) as learner:
        try:
            found = asyncio.run(study(args.url, args.rate, args.seconds, args.replicas, args.warm))
        finally:
            learner.terminate()
    print(json.dumps(found))
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
