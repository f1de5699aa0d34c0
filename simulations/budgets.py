"""Budgets: our pacer beside ParetoBandit's and a mix of models that knows their means.

    python -m simulations.budgets tables/pareto_val --out simulations/results/budgets.json

One pass from cold, ten seeds, the three models of ParetoBandit's paper, its three ceilings. The
mix is the best that a router without context could do with hindsight: a lottery over models whose
mean cost is the ceiling. ParetoBandit (extra `peers`) runs with its paper's settings for a cold
start (adaptive pacer, alpha 0.05, forgetting 0.997, no cost penalty) on the same embeddings, as
25 whitened principal components of the table's own prompts and a constant, in the same orders.

References
----------
Taberner-Miller (2026), ParetoBandit, arXiv 2604.00136.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy.optimize import linprog

from bandit_router.embedding import CachedEmbedder, SentenceTransformerEmbedder
from bandit_router.simulator import make_world, read_table, simulate
from bandit_router.simulator.tables import RoutingTable

MODELS = "meta-llama/llama-3.1-8b-instruct,mistralai/mistral-large-2512,google/gemini-2.5-pro"
CEILINGS = (3.0e-4, 6.62e-4, 1.87e-3)
COMPONENTS = 25


def mix(table: RoutingTable, ceiling: float) -> dict[str, float]:
    """Return quality and cost of the best lottery over models within a mean cost."""
    quality, cost = np.nanmean(table.quality, axis=0), np.nanmean(table.cost, axis=0)
    found = linprog(-quality, A_ub=[cost], b_ub=[ceiling], A_eq=[np.ones(len(cost))], b_eq=[1.0])
    return {"quality": float(quality @ found.x), "cost_usd": float(cost @ found.x)}


def ours(folder: Path, ceiling: float, seeds: int, steps: int | None) -> dict[str, Any]:
    """Return what `simulate --budget` says."""
    result = simulate(
        [folder], ["thompson"], models=MODELS, budget=ceiling, seeds=seeds, steps=steps
    )
    found = result["tables"][0]["policies"]["thompson"]
    return {
        "quality": found["quality"],
        "cost_usd": found["cost_usd"],
        "worst_cost_usd": max(found["cost_by_seed"]),
    }


def features(table: RoutingTable) -> Any:
    """Return whitened principal components and a constant, shape (prompts, 26)."""
    vectors = CachedEmbedder(SentenceTransformerEmbedder()).encode(table.prompts)
    centred = vectors.astype(float) - vectors.mean(axis=0)
    _, _, rows = np.linalg.svd(centred, full_matrices=False)
    scores = centred @ rows[:COMPONENTS].T
    return np.column_stack([scores / scores.std(axis=0), np.ones(len(scores))])


def pareto_bandit(
    table: RoutingTable, x: Any, ceiling: float, seeds: int, steps: int | None
) -> dict[str, Any]:
    """Return what ParetoBandit does on the same streams."""
    from pareto_bandit import BanditRouter, FeatureService
    from pareto_bandit.budget_pacer import BudgetPacer, PacingMode

    registry = {
        model.name: {
            "input_cost_per_m": model.input_usd_per_m,
            "output_cost_per_m": model.output_usd_per_m,
        }
        for model in table.models
    }
    quality, cost = [], []
    for seed in range(seeds):
        router = BanditRouter.create(
            model_registry=registry,
            priors="none",
            feature_service=FeatureService.for_precomputed(dimension=x.shape[1]),
            alpha=0.05,
            forgetting_factor=0.997,
            cost_penalty=0.0,
            bandit_seed=seed,
            budget_pacer=BudgetPacer(ceiling, mode=PacingMode.ADAPTIVE),
        )
        order = make_world(table, "stationary", seed, steps or len(table.prompts), 0.0).order
        earned, spent = [], []
        for row in order:
            name, log = router.route(x[row])
            column = table.names.index(name)
            log.cost_usd = float(table.cost[row, column])
            router.process_feedback(log.request_id, reward=float(table.quality[row, column]))
            earned.append(table.quality[row, column])
            spent.append(table.cost[row, column])
        quality.append(np.mean(earned))
        cost.append(np.mean(spent))
    return {
        "quality": float(np.mean(quality)),
        "cost_usd": float(np.mean(cost)),
        "worst_cost_usd": float(np.max(cost)),
    }


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, help="of each stream [one pass]")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    table = read_table(args.table).select(MODELS)
    x = features(table)
    result = []
    for ceiling in CEILINGS:
        row: dict[str, Any] = {"ceiling_usd": ceiling, "mix": mix(table, ceiling)}
        row["thompson"] = ours(args.table, ceiling, args.seeds, args.steps)
        try:
            row["paretobandit"] = pareto_bandit(table, x, ceiling, args.seeds, args.steps)
        except ImportError:
            print("paretobandit is not installed (extra `peers`): left out")
        print(json.dumps(row), flush=True)
        result.append(row)
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
