"""Do the 95 % intervals hold the truth, and as often as they say?

    python -m simulations.intervals tables/ulab14 [...] --out simulations/results/intervals.json

A router learns from bandit feedback on the first half of a table, in an order drawn from the
seed. Then each interval of `Router.clusters` is held against the mean quality of that model on
all prompts of the table that fall into that cluster (of at least 20 prompts). Cells where a model
has been tried at least five times are told apart from the others, where the interval rests on
the rest of the map.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from tqdm import tqdm

from bandit_router import Feedback, Model, Router
from bandit_router.embedding import CachedEmbedder, SentenceTransformerEmbedder
from bandit_router.policies import ThompsonPolicy
from bandit_router.simulator import read_table

LEAST_PROMPTS = 20
TRIED = 5.0


def study(folder: Path, seeds: int) -> dict[str, Any]:
    """Return coverage, mean absolute error and half width, by level and evidence."""
    table = read_table(folder)
    whole = ~np.isnan(table.quality).any(axis=1)
    quality = table.quality[whole]
    prompts = [p for p, kept in zip(table.prompts, whole, strict=True) if kept]
    vectors = CachedEmbedder(SentenceTransformerEmbedder()).encode(prompts)
    found: dict[str, list[tuple[bool, float, float]]] = {}
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(quality))[: len(quality) // 2]
        router = Router([Model(name=name) for name in table.names])
        for row in tqdm(order, desc=f"{table.name} {seed}", unit="prompt"):
            decision = router.route(vector=vectors[row])
            reward = float(quality[row, table.names.index(decision.model)])
            router.feedback(Feedback(decision_id=decision.decision_id, reward=reward))
        assert isinstance(router.policy, ThompsonPolicy)
        map_ = router.policy.map
        assert map_ is not None
        paths = np.array([map_.locate(map_.project(v)) for v in vectors])
        for cluster in router.clusters():
            here = paths[:, cluster.level] == cluster.id
            if here.sum() < LEAST_PROMPTS:
                continue
            for arm in cluster.arms:
                truth = float(quality[here, table.names.index(arm.model)].mean())
                low, high = arm.quality_interval
                tried = "tried" if arm.evidence >= TRIED else "hardly tried"
                found.setdefault(f"level {cluster.level}, {tried}", []).append(
                    (low <= truth <= high, abs(arm.quality - truth), (high - low) / 2)
                )
    return {
        key: {
            "intervals": len(rows),
            "coverage": float(np.mean([row[0] for row in rows])),
            "error": float(np.mean([row[1] for row in rows])),
            "half_width": float(np.mean([row[2] for row in rows])),
        }
        for key, rows in sorted(found.items())
    }


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    result = {folder.name: study(folder, args.seeds) for folder in args.tables}
    text = json.dumps(result, indent=1)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
