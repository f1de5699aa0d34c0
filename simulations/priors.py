"""Guesses of quality: what they are worth when right, and how long they harm when wrong.

    python -m simulations.priors tables/ulab14 --out simulations/results/priors.json

The first 1,000 steps of a table, twenty seeds, shipped defaults, with no guesses, with the true
mean of every model, with means that are turned round (the best model is given the worst one's), and
with an equal guess for all. Mean utility in consecutive stretches.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import msgspec
import numpy as np

from bandit_router.config import Settings
from bandit_router.embedding import CachedEmbedder, SentenceTransformerEmbedder
from bandit_router.simulator import make_world, read_table
from bandit_router.simulator.play import play

STEPS = 1000
STRETCHES = ((0, 100), (100, 200), (200, 400), (400, 1000))


def guesses(quality: Any) -> dict[str, Any]:
    """Return a guess for every model, by kind."""
    order = quality.argsort()
    reversed_ = np.empty_like(quality)
    reversed_[order] = quality[order[::-1]]
    nothing: list[float | None] = [None] * len(quality)
    return {"none": nothing, "right": quality, "reversed": reversed_, "equal": quality * 0 + 0.5}


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    table = read_table(args.table)
    vectors = CachedEmbedder(SentenceTransformerEmbedder()).encode(table.prompts)
    result: dict[str, Any] = {}
    for kind, guess in guesses(np.nanmean(table.quality, axis=0)).items():
        models = tuple(
            msgspec.structs.replace(m, quality_prior=None if g is None else float(g))
            for m, g in zip(table.models, guess, strict=True)
        )
        told = replace(table, models=models)
        curves = []
        for seed in range(args.seeds):
            world = make_world(told, "stationary", seed, STEPS, 0.0)
            bandit = msgspec.structs.replace(Settings().bandit, seed=seed)
            settings = Settings(bandit=bandit)
            run = play("thompson", told, world, vectors=vectors, settings=settings)
            curves.append([run.utility[a:b].mean() for a, b in STRETCHES])
        means = np.mean(curves, axis=0)
        result[kind] = {f"{a}-{b}": float(m) for (a, b), m in zip(STRETCHES, means, strict=True)}
        print(kind, json.dumps(result[kind]), flush=True)
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
