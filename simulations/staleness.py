"""The price of staleness: utility when replicas decide from states that are some time old.

    python -m simulations.staleness simulations/tables/ulab14 --seeds 5 --steps 1500 \\
        --ages 1 10 60 600 --replicas 1 10 --out simulations/results/staleness.json

One learner folds every decision and its feedback in order. Replicas take requests at random; each
decides from a copy of the learner's state that it takes anew every so many seconds, each at a
moment of its own, as they do over PostgreSQL (docs/scale-out.md); nothing else of a replica
matters here. At 10 requests a second a pass over six thousand prompts takes ten minutes, and all
of it is learning from nothing. Whoever has more traffic has more decisions in a second: what
counts is the column `decisions`. Prompts are embedded by `static`. `loss` is the utility lost per
decision beside one process that is always up to date, seed by seed, with its standard error.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import msgspec
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bandit_router import Feedback, Router
from bandit_router.config import EmbedderSettings, Settings
from bandit_router.embedding import make_embedder
from bandit_router.simulator import read_table

SETTINGS = Settings(embedder=EmbedderSettings(name="static"))
RATE = 10.0
AGES = (0.1, 1.0, 10.0, 60.0, 600.0)
REPLICAS = (1, 3, 10)


def play(
    table: Any, vectors: NDArray[np.float32], order: Any, period: int, replicas: int, seed: int
) -> float:
    """Return the mean quality of what was chosen over a stream.

    Parameters
    ----------
    order
        Prompts, in the order in which they come.
    period
        Decisions, of all replicas together, between two states of a replica; 0: always up to date.
    """
    bandit = msgspec.structs.replace(SETTINGS.bandit, seed=seed)
    settings = msgspec.structs.replace(SETTINGS, bandit=bandit)
    learner = Router(table.models, settings=settings)
    column = {name: i for i, name in enumerate(table.names)}
    state, state_of = learner.snapshot(), 0
    copies = [Router.restore([], state=state) if period else learner for _ in range(replicas)]
    newer: dict[int, bytes] = {}
    phases = [period * i // replicas for i in range(replicas)]
    turns = np.random.default_rng([seed, replicas]).integers(replicas, size=len(order))
    earned = np.zeros(len(order))
    for step, prompt in enumerate(order):
        due = period and [i for i in range(replicas) if step % period == phases[i]]
        for i in due or ():
            if state_of != step:
                state, state_of = learner.snapshot(), step
            newer[i] = state
        turn = int(turns[step])
        if turn in newer:  # taken when it is due, opened when it is needed
            copies[turn] = Router.restore([], state=newer.pop(turn))
        copy = copies[turn]
        decision = copy.decide(
            vector=vectors[prompt], decision_id=f"d{step}", new_id=True, number=step
        )
        learner.apply(learner.adopt(decision))
        earned[step] = table.quality[prompt, column[decision.model]]
        said = Feedback(decision_id=decision.decision_id, reward=float(earned[step]))
        learner.feedback(said)
    return float(earned.mean())


def study(
    folder: Path,
    seeds: int,
    steps: int | None,
    rate: float,
    ages: Sequence[float] = AGES,
    counts: Sequence[int] = REPLICAS,
) -> list[dict[str, Any]]:
    """Return one row for each age and number of replicas, and one for none."""
    table = read_table(folder)
    vectors = make_embedder(SETTINGS.embedder).encode(table.prompts)
    rngs = (np.random.default_rng(seed) for seed in range(seeds))
    orders = [rng.permutation(len(table.prompts))[:steps] for rng in rngs]
    cases = [(0.0, 1), *((age, n) for age in ages for n in counts)]
    rows: list[dict[str, Any]] = []
    fresh = np.zeros(seeds)
    for age, replicas in tqdm(cases, desc=table.name, disable=None):
        period = max(1, round(age * rate)) if age else 0
        found = np.array(
            [play(table, vectors, order, period, replicas, s) for s, order in enumerate(orders)]
        )
        if not age:
            fresh = found
        loss = fresh - found
        rows.append(
            {
                "table": table.name,
                "seeds": seeds,
                "steps": len(orders[0]),
                "age_s": age,
                "decisions": period,
                "replicas": replicas,
                "utility": round(float(found.mean()), 4),
                "loss": round(float(loss.mean()), 4),
                "loss_standard_error": round(float(loss.std(ddof=1) / np.sqrt(seeds)), 4),
            }
        )
    return rows


def main() -> None:
    """Run the study and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tables", help="folders, comma-separated")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="of each stream [one pass]")
    parser.add_argument("--rate", type=float, default=RATE, help="requests a second, of all")
    parser.add_argument("--ages", type=float, nargs="*", default=AGES, help="seconds")
    parser.add_argument("--replicas", type=int, nargs="*", default=REPLICAS)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows = [
        row
        for folder in map(Path, args.tables.split(","))
        for row in study(folder, args.seeds, args.steps, args.rate, args.ages, args.replicas)
    ]
    for row in rows:
        print(*(f"{key}={value}" for key, value in row.items()))
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
