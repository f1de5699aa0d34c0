"""Do the off-policy intervals hold what they promise? On logs drawn from a real table.

    python -m simulations.off_policy TABLE --out simulations/results/off_policy.json

A logging policy that leans towards the models of higher mean quality draws decisions (prompts
with replacement); five target policies are estimated from each log and compared with their true
value over the whole table. The model of the rewards is each arm's running mean over the earlier
decisions of the log. Intervals are the normal ones; of `dr` the bootstrap's as well.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bandit_router.simulator import RoutingTable, read_table
from bandit_router.simulator.ope import ESTIMATORS, Array, Evaluation, dr


def targets(table: RoutingTable) -> dict[str, Array]:
    """Five policies, as probabilities of shape (prompts, models)."""
    quality = table.quality
    n, k = quality.shape
    mean = quality.mean(axis=0)
    order = np.argsort(-mean)
    tasks = np.array(table.tasks)
    by_task, by_length = np.zeros((n, k)), np.zeros((n, k))
    for task in np.unique(tasks):
        by_task[tasks == task, quality[tasks == task].mean(axis=0).argmax()] = 1.0
    long = np.array([len(p) for p in table.prompts]) > np.median([len(p) for p in table.prompts])
    by_length[long, order[0]] = by_length[~long, order[2]] = 1.0
    soft = np.exp(8.0 * mean) / np.exp(8.0 * mean).sum()
    return {
        "best single": np.tile(np.eye(k)[order[0]], (n, 1)),
        "third best": np.tile(np.eye(k)[order[2]], (n, 1)),
        "random": np.full((n, k), 1.0 / k),
        "best by task, 0.9": 0.9 * by_task + 0.1 / k,
        "by length, softened": 0.5 * by_length + 0.5 * np.tile(soft, (n, 1)),
    }


def draw(
    table: RoutingTable, wanted: dict[str, Array], decisions: int, rng: np.random.Generator
) -> dict[str, Evaluation]:
    """Draw one log; return it as seen through every target."""
    k = table.quality.shape[1]
    rows = rng.integers(len(table.prompts), size=decisions)
    logging = (
        0.5 / k
        + 0.5
        * np.exp(4 * table.quality.mean(axis=0))
        / np.exp(4 * table.quality.mean(axis=0)).sum()
    )
    action = rng.choice(k, size=decisions, p=logging / logging.sum())
    reward = table.quality[rows, action]
    chosen = np.eye(k)[action]
    count = np.cumsum(chosen, axis=0) - chosen
    total = np.cumsum(chosen * reward[:, None], axis=0) - chosen * reward[:, None]
    model = (total + 0.5) / (count + 1.0)
    propensity = (logging / logging.sum())[action]
    return {
        name: Evaluation(target[rows], model, action, reward, propensity)
        for name, target in wanted.items()
    }


def main() -> None:
    """Repeat and count."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--decisions", type=int, default=1500)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    table = read_table(args.table)
    full = table.rows(np.flatnonzero(~np.isnan(table.quality).any(axis=1)))
    wanted = targets(full)
    truth = {name: float((t * full.quality).sum(axis=1).mean()) for name, t in wanted.items()}
    kinds = {**ESTIMATORS, "dr, bootstrap": lambda seen: dr(seen, "bootstrap")}
    held = {name: dict.fromkeys(kinds, 0) for name in wanted}
    error = {name: dict.fromkeys(kinds, 0.0) for name in wanted}
    for repetition in tqdm(range(args.repetitions), unit="log"):
        log = draw(full, wanted, args.decisions, np.random.default_rng(repetition))
        for name, seen in log.items():
            for kind, estimate in kinds.items():
                found = estimate(seen)
                held[name][kind] += found.ci[0] <= truth[name] <= found.ci[1]
                error[name][kind] += (found.value - truth[name]) ** 2
    covered = min(v / args.repetitions for of in held.values() for k, v in of.items() if "dr" in k)
    result = {
        "least_coverage_of_dr": covered,
        "table": table.name,
        "repetitions": args.repetitions,
        "decisions": args.decisions,
        "targets": {
            name: {
                "truth": truth[name],
                "coverage": {k: v / args.repetitions for k, v in held[name].items()},
                "rmse": {k: float(np.sqrt(v / args.repetitions)) for k, v in error[name].items()},
            }
            for name in wanted
        },
    }
    print(json.dumps(result, indent=1))
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
