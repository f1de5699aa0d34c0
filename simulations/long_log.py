"""How much memory does it take to replay a log of a million decisions, or of ten?

    python -m simulations.long_log 1000000
    python -m simulations.long_log 1000000 --whole

Writes a folder of Parquet files of 250,000 rows each (three models, drawn at random, one of them
much better at one of two kinds of prompts), replays it, and prints the peak memory of this process
and the largest of those that it started; `--whole` reads all of it at once, as a small log is.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bandit_router.simulator.partitions import Partitions
from bandit_router.simulator.replay import replay

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
            "prompt": [f"question {k} number {first + i}" for i, k in enumerate(kind)],
            "model": MODELS[arm],
            "reward": (rng.random(n) < QUALITY[kind, arm]).astype(float),
            "propensity": CHANCE[arm],
            "cost_usd": COST[arm],
        }
        file = folder / f"part-{number:04}.parquet"
        pq.write_table(pa.table(columns), file, row_group_size=50_000)


def main() -> None:
    """Write, replay, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", type=int)
    parser.add_argument("--whole", action="store_true", help="in memory")
    parser.add_argument("--policy", default="fixed:large")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), args.rows)
        begun = time.perf_counter()
        with patch.object(Partitions, "many", not args.whole):
            found = replay(Path(name), args.policy.split(","), embedder="none")
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
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
