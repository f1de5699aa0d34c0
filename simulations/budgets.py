"""Budgets: our pacer beside ParetoBandit's and a mix of models that knows their means.

    python -m simulations.budgets tables/pareto_val

One pass from cold, ten seeds, the three models of ParetoBandit's paper, its three ceilings. The
mix is the best that a router without context could do with hindsight: a lottery over models whose
mean cost is the ceiling. ParetoBandit (extra `peers`) runs with its paper's settings for a cold
start (adaptive pacer, alpha 0.05, forgetting 0.997, no cost penalty) on the same embeddings, as
25 whitened principal components of the table's own prompts and a constant, in the same orders.
Writes ``budgets.json`` and ``.md``.

References
----------
Taberner-Miller (2026), ParetoBandit, arXiv 2604.00136.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linprog

from bandit_router.embedding import CachedEmbedder, SentenceTransformerEmbedder
from bandit_router.simulator import make_world, read_table, simulate
from bandit_router.simulator.tables import RoutingTable

from .harness import grid, keep, on_all_cores, parser_of

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
    if result.get("interrupted"):
        raise KeyboardInterrupt
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


def play_pareto_bandit(
    shared: tuple[RoutingTable, Any, int], task: tuple[float, int], tick: Callable[[int], object]
) -> tuple[float, float]:
    """Return ParetoBandit's mean quality and cost on one stream."""
    from pareto_bandit import BanditRouter, FeatureService
    from pareto_bandit.budget_pacer import BudgetPacer, PacingMode

    (table, x, steps), (ceiling, seed) = shared, task
    registry = {
        model.name: {
            "input_cost_per_m": model.input_usd_per_m,
            "output_cost_per_m": model.output_usd_per_m,
        }
        for model in table.models
    }
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
    earned, spent = [], []
    for row in make_world(table, "stationary", seed, steps, 0.0).order:
        name, log = router.route(x[row])
        column = table.names.index(name)
        log.cost_usd = float(table.cost[row, column])
        router.process_feedback(log.request_id, reward=float(table.quality[row, column]))
        earned.append(table.quality[row, column])
        spent.append(table.cost[row, column])
        tick(1)
    return float(np.mean(earned)), float(np.mean(spent))


def pareto_bandit(table: RoutingTable, seeds: int, steps: int) -> list[dict[str, float]]:
    """Return what ParetoBandit does on the same streams, ceiling by ceiling."""
    tasks = [(ceiling, seed) for ceiling in CEILINGS for seed in range(seeds)]
    runs = on_all_cores(
        play_pareto_bandit,
        (table, features(table), steps),
        tasks,
        label="playing ParetoBandit",
        steps=len(tasks) * steps,
    )
    out = []
    for number in range(len(CEILINGS)):
        quality, cost = np.transpose(runs[number * seeds : (number + 1) * seeds])
        out.append(
            {
                "quality": float(quality.mean()),
                "cost_usd": float(cost.mean()),
                "worst_cost_usd": float(cost.max()),
            }
        )
    return out


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table."""
    lines = []
    for row in rows:
        ceiling, our, their = row["ceiling_usd"], row["thompson"], row.get("paretobandit")
        lines.append(
            (
                f"{ceiling:g}",
                f"{our['cost_usd'] / ceiling:.3f} ({our['worst_cost_usd'] / ceiling:.3f})",
                f"{our['quality']:.3f}",
                f"{row['mix']['quality']:.3f}",
                f"{their['quality']:.3f} ({their['cost_usd'] / ceiling:.3f})" if their else "",
            )
        )
    head = (
        "ceiling, US dollars a request",
        "spent, share of the ceiling (worst seed)",
        "quality",
        "mix",
        "ParetoBandit (spent)",
    )
    said = f"{rows[0]['table']}, {rows[0]['steps']:,} steps, {rows[0]['seeds']} seeds."
    return f"{said}\n\n{grid(head, lines)}"


def main() -> None:
    """Run the study."""
    parser = parser_of(__doc__, seeds=10)
    parser.add_argument("--steps", type=int, help="of each stream [one pass]")
    args = parser.parse_args()
    if len(args.tables) != 1:
        parser.error("give one table: pareto_val")
    (folder,) = args.tables
    table = read_table(folder).select(MODELS)
    steps = args.steps or len(table.prompts)
    result: list[dict[str, Any]] = [
        {
            "table": table.name,
            "steps": steps,
            "seeds": args.seeds,
            "ceiling_usd": ceiling,
            "mix": mix(table, ceiling),
            "thompson": ours(folder, ceiling, args.seeds, steps),
        }
        for ceiling in CEILINGS
    ]
    keep(args.out, "budgets", result, markdown(result))
    if find_spec("pareto_bandit"):
        for row, found in zip(result, pareto_bandit(table, args.seeds, steps), strict=True):
            row["paretobandit"] = found
        keep(args.out, "budgets", result, markdown(result))
    else:
        print("paretobandit is not installed (extra `peers`): left out")
    print(markdown(result))


if __name__ == "__main__":
    main()
