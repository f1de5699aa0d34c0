"""Does our DBSTREAM give River's results? 20,000 steps of real embeddings, ours beside stock.

    python -m simulations.equality TABLE [--steps 20000] [--dimensions 32,384]

Streams the prompts of a routing table (embedded by MiniLM, cached) in seeded random order,
again in a new order when they run out, at several thresholds and rates of fading, and compares
weights, shared densities, centres, ids and predictions. Exit code 1 if anything differs by more
than 1e-9.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from river import cluster

from bandit_router.clustering import DBSTREAM
from bandit_router.embedding import shipped_projection

SETTINGS: dict[int, list[dict[str, float]]] = {
    32: [
        {"clustering_threshold": 0.7, "fading_factor": 0.002, "cleanup_interval": 50},
        {"clustering_threshold": 1.0, "fading_factor": 0.01, "cleanup_interval": 2},
    ],
    384: [
        {"clustering_threshold": 1.0, "fading_factor": 0.002, "cleanup_interval": 260},
        {"clustering_threshold": 1.0, "fading_factor": 0.01, "cleanup_interval": 2},
    ],
}


def stream(vectors: np.ndarray, steps: int, dimension: int, seed: int = 0) -> np.ndarray:
    """Return `steps` rows in seeded order, projected if fewer dimensions are asked for."""
    rng = np.random.default_rng(seed)
    passes = [rng.permutation(len(vectors)) for _ in range(-(-steps // len(vectors)))]
    rows = vectors[np.concatenate(passes)[:steps]].astype(np.float64)
    if dimension == rows.shape[1]:
        return rows
    projection = shipped_projection("minilm")
    assert projection is not None
    rows = (rows - projection.mean) @ projection.components[:dimension].T
    out: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return out


def difference(ours: Any, theirs: Any) -> float:
    """Return the largest difference of two states, infinite if ids or pairs differ."""
    mine, stock = ours.micro_clusters, theirs.micro_clusters
    if list(mine) != list(stock) or ours.s.keys() != theirs.s.keys():
        return float("inf")
    worst = 0.0
    for id_, micro in stock.items():
        center = mine[id_].center
        if center.keys() != micro.center.keys():
            return float("inf")
        apart = [abs(center[feature] - value) for feature, value in micro.center.items()]
        worst = max(worst, abs(mine[id_].weight - micro.weight), *apart)
    for name in ("s", "s_t"):
        for i, row in getattr(theirs, name).items():
            other = getattr(ours, name)[i]
            if other.keys() != row.keys():
                return float("inf")
            worst = max([worst, *(abs(other[j] - value) for j, value in row.items())])
    return worst


def compare(rows: np.ndarray, settings: dict[str, float], every: int = 500) -> dict[str, Any]:
    """Play one stream to both; return differences and costs."""
    ours, theirs = DBSTREAM(**settings), cluster.DBSTREAM(**settings)
    spent: dict[str, list[float]] = {"ours": [], "stock": []}
    worst, predictions, live = 0.0, 0, []
    for step, row in enumerate(rows):
        x = dict(enumerate(row.tolist()))
        for name, model in (("ours", ours), ("stock", theirs)):
            start = time.perf_counter()
            model.learn_one(x)
            spent[name].append(time.perf_counter() - start)
        if step % every == every - 1:
            predictions += ours.predict_one(x) != theirs.predict_one(x)
            worst = max(worst, difference(ours, theirs))
            live.append(len(theirs.micro_clusters))
    cost = {name: float(np.median(times)) * 1e6 for name, times in spent.items()}
    return {
        "worst_difference": worst,
        "predictions_that_differ": predictions,
        "live_micro_clusters": int(np.median(live)),
        "learn_us": {name: round(value, 1) for name, value in cost.items()},
        "ratio": round(cost["stock"] / cost["ours"], 1),
    }


def main() -> None:
    """Run the study; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--dimensions", default="32,384")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    from bandit_router.embedding import CachedEmbedder, SentenceTransformerEmbedder
    from simulations.fit_projection import prompts_of

    prompts = prompts_of(args.table / "prompts.jsonl.gz")
    vectors = CachedEmbedder(SentenceTransformerEmbedder("minilm")).encode(prompts)
    results = []
    for dimension in map(int, args.dimensions.split(",")):
        rows = stream(np.asarray(vectors), args.steps, dimension)
        for settings in SETTINGS[dimension]:
            found = {"dimension": dimension, "steps": args.steps, **settings}
            results.append(found | compare(rows, settings))
            print(json.dumps(results[-1]), flush=True)
    if args.out:
        args.out.write_text(json.dumps(results, indent=1) + "\n")
    same = all(r["worst_difference"] < 1e-9 and not r["predictions_that_differ"] for r in results)
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
