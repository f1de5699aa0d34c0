"""Do the 95 % intervals hold the truth, and as often as they say?

    python -m simulations.intervals tables/ulab14,tables/pareto_val

A router learns from bandit feedback on the first half of a table, in an order drawn from the
seed. Then each interval of `Router.clusters` is held against the mean quality of that model on
all prompts of the table that fall into that cluster (of at least 20 prompts). Cells where a model
has been tried at least five times are told apart from the others, where the interval rests on
the rest of the map. Writes ``intervals.json`` and ``.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bandit_router import Feedback, Model, Router
from bandit_router.embedding import CachedEmbedder, SentenceTransformerEmbedder
from bandit_router.policies import ThompsonPolicy
from bandit_router.simulator import RoutingTable, read_table

from .harness import grid, keep, on_all_cores, parser_of

Cells = dict[str, list[tuple[bool, float, float]]]
"""By level and evidence: whether the interval holds the truth, the error, half the width."""

LEAST_PROMPTS = 20
TRIED = 5.0


def run(shared: tuple[RoutingTable, Any], seed: int, tick: Callable[[int], object]) -> Cells:
    """Learn from one stream; return what became of every interval."""
    table, vectors = shared
    quality = table.quality
    order = np.random.default_rng(seed).permutation(len(quality))[: len(quality) // 2]
    router = Router([Model(name=name) for name in table.names])
    for row in order:
        decision = router.route(vector=vectors[row])
        reward = float(quality[row, table.names.index(decision.model)])
        router.feedback(Feedback(decision_id=decision.decision_id, reward=reward))
        tick(1)
    assert isinstance(router.policy, ThompsonPolicy)
    map_ = router.policy.map
    assert map_ is not None
    paths = np.array([map_.locate(map_.project(v)) for v in vectors])
    found: Cells = {}
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
    return found


def study(folder: Path, seeds: int) -> dict[str, Any]:
    """Return coverage, mean absolute error and half width, by level and evidence."""
    table = read_table(folder)
    table = table.rows(np.flatnonzero(~np.isnan(table.quality).any(axis=1)))
    vectors = CachedEmbedder(SentenceTransformerEmbedder()).encode(table.prompts)
    steps = seeds * (len(table.prompts) // 2)
    label = f"learning {table.name}"
    runs = on_all_cores(run, (table, vectors), range(seeds), label=label, steps=steps)
    cells = {key: [cell for found in runs for cell in found.get(key, ())] for key in _keys(runs)}
    return {
        key: {
            "intervals": len(rows),
            "coverage": float(np.mean([row[0] for row in rows])),
            "error": float(np.mean([row[1] for row in rows])),
            "half_width": float(np.mean([row[2] for row in rows])),
        }
        for key, rows in cells.items()
    }


def _keys(runs: list[Cells]) -> list[str]:
    return sorted({key for found in runs for key in found})


def markdown(result: dict[str, Any]) -> str:
    """Return the figures as a table."""
    rows = [
        (
            table,
            key,
            row["intervals"],
            f"{row['coverage']:.0%}",
            f"{row['error']:.3f}",
            f"{row['half_width']:.3f}",
        )
        for table, found in result.items()
        for key, row in found.items()
    ]
    return grid(("table", "cells", "intervals", "hold the truth", "error", "half width"), rows)


def main() -> None:
    """Run the study."""
    args = parser_of(__doc__, seeds=2).parse_args()
    result: dict[str, Any] = {}
    for folder in args.tables:
        result[folder.name] = study(folder, args.seeds)
        keep(args.out, "intervals", result, markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
