"""How much memory does it take to replay a log of a million decisions, or of ten?

    python -m simulations.long_log 1000000
    python -m simulations.long_log 1000000 --whole
    python -m simulations.long_log 1000000 --alone
    python -m simulations.long_log 100000000 --alone --reward-model means

Writes a folder of Parquet files of 250,000 rows each (three models, drawn at random, one of them
much better at one of two kinds of prompts), replays it, and prints the peak memory of this process
and the largest of those that it started; `--whole` reads all of it at once, as a small log is. With
`--alone` everything is done in one process, and what it holds is told after every tenth of the log.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bandit_router.simulator import streamed
from bandit_router.simulator.partitions import Partitions
from bandit_router.simulator.replay import replay
from bandit_router.simulator.streamed import Tally

MODELS = np.array(["small", "maths", "large"])
CHANCE = np.array([0.5, 0.3, 0.2])
COST = np.array([0.001, 0.004, 0.01])
QUALITY = np.array([[0.5, 0.9, 0.7], [0.6, 0.2, 0.8]])
FILE = 250_000


def write(folder: Path, rows: int) -> None:
    """Write a log."""
    rng = np.random.default_rng(0)
    for number, first in enumerate(range(0, rows, FILE)):
        n = min(FILE, rows - first)
        kind, arm = rng.integers(2, size=n), rng.choice(3, size=n, p=CHANCE)
        columns = {
            "prompt": pc.binary_join_element_wise(
                "question", _text(kind), "number", _text(np.arange(first, first + n)), " "
            ),
            "model": MODELS[arm],
            "reward": (rng.random(n) < QUALITY[kind, arm]).astype(float),
            "propensity": CHANCE[arm],
            "cost_usd": COST[arm],
        }
        file = folder / f"part-{number:04}.parquet"
        pq.write_table(pa.table(columns), file, row_group_size=50_000)


def _text(numbers: Any) -> Any:
    return pa.array(numbers).cast(pa.string())


def held_mb() -> int:
    """Return what this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def noting(held: dict[int, int], step: int) -> Any:
    """Return `Tally.add`, noting what is held after every so many rows."""
    add = Tally.add

    def added(self: Tally, part: Any, *rest: Any) -> None:
        add(self, part, *rest)
        rows = self.rows
        if rows // step > (rows - len(part)) // step:
            held[rows] = held_mb()

    return added


def main() -> None:
    """Write, replay, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", type=int)
    parser.add_argument("--whole", action="store_true", help="in memory")
    parser.add_argument("--alone", action="store_true", help="in one process")
    parser.add_argument("--policy", default="fixed:large")
    parser.add_argument("--reward-model", default="posterior")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), args.rows)
        begun = time.perf_counter()
        held: dict[int, int] = {}
        with ExitStack() as patched:
            patched.enter_context(patch.object(Partitions, "many", not args.whole))
            if args.alone:
                patched.enter_context(patch.object(streamed, "cores", lambda: 1))
                step = max(1, args.rows // 10)
                patched.enter_context(patch.object(Tally, "add", noting(held, step)))
            found = replay(
                Path(name),
                args.policy.split(","),
                embedder="none",
                reward_model=args.reward_model,
            )
    mine, theirs = (
        resource.getrusage(who).ru_maxrss // 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    told = {
        "rows": args.rows,
        "whole": args.whole,
        "dr": {n: p["estimators"]["dr"]["value"] for n, p in found["policies"].items()},
        "peak_mb": mine,
        "peak_mb_of_the_largest_process_started": theirs,
        "seconds": round(time.perf_counter() - begun),
        "cpu_seconds": round(time.process_time()),
        "held_mb": held,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
