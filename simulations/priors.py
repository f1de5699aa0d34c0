"""Guesses of quality: what they are worth when right, and how long they harm when wrong.

    python -m simulations.priors tables/ulab14

The first 1,000 steps of a table, twenty seeds, shipped defaults, with no guesses, with the true
mean of every model, with means that are turned round (the best model is given the worst one's), and
with an equal guess for all. Mean utility in consecutive stretches. Writes ``priors.json`` and
``.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bandit_router.config import Settings
from bandit_router.embedding import CachedEmbedder, SentenceTransformerEmbedder
from bandit_router.simulator import RoutingTable, make_world, read_table
from bandit_router.simulator.play import play

from .harness import grid, keep_rows, on_all_cores, parser_of

STEPS = 1000
STRETCHES = ((0, 100), (100, 200), (200, 400), (400, 1000))
KINDS = ("none", "right", "reversed", "equal")


def guesses(quality: Any, kind: str) -> list[float | None]:
    """Return a guess for every model."""
    if kind == "none":
        return [None] * len(quality)
    if kind == "equal":
        return [0.5] * len(quality)
    if kind == "right":
        return [float(q) for q in quality]
    order = quality.argsort()
    turned = np.empty_like(quality)
    turned[order] = quality[order[::-1]]
    return [float(q) for q in turned]


def run(
    shared: tuple[RoutingTable, Any], task: tuple[str, int], tick: Callable[[int], object]
) -> list[float]:
    """Return the mean utility of every stretch."""
    (table, vectors), (kind, seed) = shared, task
    models = tuple(
        msgspec.structs.replace(model, quality_prior=guess)
        for model, guess in zip(
            table.models, guesses(np.nanmean(table.quality, axis=0), kind), strict=True
        )
    )
    told = replace(table, models=models)
    world = make_world(told, "stationary", seed, STEPS, 0.0)
    settings = Settings(bandit=msgspec.structs.replace(Settings().bandit, seed=seed))
    played = play("thompson", told, world, vectors=vectors, settings=settings, tick=tick)
    return [float(played.utility[a:b].mean()) for a, b in STRETCHES]


def study(folder: Path, seeds: int) -> dict[str, Any]:
    """Return every kind's means."""
    table = read_table(folder)
    vectors = CachedEmbedder(SentenceTransformerEmbedder()).encode(table.prompts)
    tasks = [(kind, seed) for seed in range(seeds) for kind in KINDS]
    runs = on_all_cores(
        run, (table, vectors), tasks, label=f"playing {table.name}", steps=STEPS * len(tasks)
    )
    found: dict[str, Any] = {"table": table.name, "seeds": seeds}
    for kind in KINDS:
        means = np.mean([r for (k, _), r in zip(tasks, runs, strict=True) if k == kind], axis=0)
        found[kind] = {f"{a}-{b}": float(m) for (a, b), m in zip(STRETCHES, means, strict=True)}
    return found


def markdown(result: list[dict[str, Any]]) -> str:
    """Return the means as one table."""
    stretches = [f"{a}-{b}" for a, b in STRETCHES]
    rows = [
        (found["table"], kind, found["seeds"], *(f"{found[kind][s]:.4f}" for s in stretches))
        for found in result
        for kind in KINDS
    ]
    return grid(("table", "guesses", "seeds", *stretches), rows)


def main() -> None:
    """Run the study."""
    args = parser_of(__doc__, seeds=20).parse_args()
    result = [study(folder, args.seeds) for folder in args.tables]
    print(keep_rows(args.out, "priors", result, markdown, by=("table",)))


if __name__ == "__main__":
    main()
