"""Do the off-policy intervals hold what they promise? On logs drawn from a real table.

    python -m simulations.off_policy tables/ulab14

A logging policy that leans towards the models of higher mean quality draws decisions (prompts
with replacement); five target policies are estimated from each log and compared with their true
value over the whole table. The model of the rewards is each arm's running mean over the earlier
decisions of the log. Intervals are the normal ones; of `dr` the bootstrap's as well. Writes
``off_policy.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bandit_router.simulator import RoutingTable, read_table
from bandit_router.simulator.ope import ESTIMATORS, Array, Estimate, Evaluation, dr

from .harness import RESULTS, grid, keep, on_all_cores

KINDS: dict[str, Callable[[Evaluation], Estimate]] = {
    **ESTIMATORS,
    "dr, bootstrap": lambda seen: dr(seen, "bootstrap"),
}


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


def repeat(
    shared: tuple[RoutingTable, int], repetition: int, tick: Callable[[int], object]
) -> dict[str, dict[str, tuple[bool, float]]]:
    """Return whether each estimate of one log holds the truth, and its squared error."""
    table, decisions = shared
    wanted = targets(table)
    truth = truths(table, wanted)
    out: dict[str, dict[str, tuple[bool, float]]] = {}
    for name, seen in draw(table, wanted, decisions, np.random.default_rng(repetition)).items():
        found = {kind: estimate(seen) for kind, estimate in KINDS.items()}
        out[name] = {
            kind: (bool(e.ci[0] <= truth[name] <= e.ci[1]), (e.value - truth[name]) ** 2)
            for kind, e in found.items()
        }
    tick(1)
    return out


def truths(table: RoutingTable, wanted: dict[str, Array]) -> dict[str, float]:
    """Return the true value of every target over the whole table."""
    return {name: float((t * table.quality).sum(axis=1).mean()) for name, t in wanted.items()}


def study(folder: Path, repetitions: int, decisions: int) -> dict[str, Any]:
    """Repeat and count."""
    table = read_table(folder)
    table = table.rows(np.flatnonzero(~np.isnan(table.quality).any(axis=1)))
    runs = on_all_cores(
        repeat,
        (table, decisions),
        range(repetitions),
        label=f"drawing from {table.name}",
        steps=repetitions,
        unit="log",
    )
    found: dict[str, Any] = {}
    for name, truth in truths(table, targets(table)).items():
        by_kind = {kind: np.array([run[name][kind] for run in runs], dtype=float) for kind in KINDS}
        found[name] = {
            "truth": truth,
            "coverage": {kind: float(v[:, 0].mean()) for kind, v in by_kind.items()},
            "rmse": {kind: float(np.sqrt(v[:, 1].mean())) for kind, v in by_kind.items()},
        }
    return {
        "least_coverage_of_dr": min(
            value for f in found.values() for k, value in f["coverage"].items() if "dr" in k
        ),
        "table": table.name,
        "repetitions": repetitions,
        "decisions": decisions,
        "targets": found,
    }


def markdown(result: dict[str, Any]) -> str:
    """Return how often each estimator's interval holds the truth, and its error in brackets."""
    rows = [
        (
            name,
            f"{found['truth']:.4f}",
            *(f"{found['coverage'][kind]:.0%} ({found['rmse'][kind]:.4f})" for kind in KINDS),
        )
        for name, found in result["targets"].items()
    ]
    return (
        f"{result['repetitions']} logs of {result['decisions']:,} decisions drawn from "
        f"{result['table']}: how often the 95 % interval holds the truth (root mean square "
        f"error).\n\n{grid(('target', 'truth', *KINDS), rows)}"
    )


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--decisions", type=int, default=1500)
    parser.add_argument("--out", type=Path, default=RESULTS, help="a folder [simulations/results]")
    args = parser.parse_args()
    result = study(args.table, args.repetitions, args.decisions)
    keep(args.out, "off_policy", result, markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
