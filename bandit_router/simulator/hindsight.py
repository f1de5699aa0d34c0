"""Choices that know every outcome beforehand: what a router is measured against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .tables import Array, RoutingTable
from .worlds import Phase, World

HINDSIGHT = ("best-single", "task-oracle", "oracle")


def utilities(phase: Phase, cost_weight: float, reference_cost_usd: float) -> Array:
    """Return the utility of every model on every prompt; nan where it is not eligible."""
    utility = phase.quality - cost_weight * phase.cost / reference_cost_usd
    return np.where(phase.present, utility, np.nan)


def choices(name: str, table: RoutingTable, world: World, cost_weight: float) -> NDArray[np.int64]:
    """Return the column that a policy with hindsight chooses at every step, shape (steps,).

    `best-single` is the model with the highest mean utility over the stream (the next best
    where it is not eligible), `task-oracle` the same for each task label and phase, `oracle`
    the best for each prompt.
    """
    reference = table.reference_cost_usd
    tables = [utilities(phase, cost_weight, reference) for phase in world.phases]
    phase = world.phase_of_steps()
    stream = np.stack(tables)[phase, world.order]  # (steps, models)
    if world.down is not None:
        served = ~np.isnan(stream) & ~world.down
        # Where no model is served by anybody, the outage spares them all; as in `play`.
        stream = np.where(served | ~served.any(axis=1, keepdims=True), stream, np.nan)
    if name == "oracle":
        return _best(stream)
    if name == "best-single":
        score = np.tile(_mean(stream), (world.steps, 1))
    else:
        score = np.stack([by_task(table, utility) for utility in tables])[phase, world.order]
    return _best(np.where(np.isnan(stream), np.nan, score))


def by_task(table: RoutingTable, utility: Array) -> Array:
    """Return every model's mean over the prompts of a prompt's task, shape (prompts, models)."""
    tasks, out = np.array(table.tasks), np.empty_like(utility)
    for task in np.unique(tasks):
        out[tasks == task] = _mean(utility[tasks == task])
    return out


def _mean(utility: Array) -> Array:
    """Mean over prompts, -inf for a model that is never eligible."""
    known = ~np.isnan(utility)
    total = np.where(known, utility, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), -np.inf)


def _best(score: Array) -> NDArray[np.int64]:
    columns: NDArray[np.int64] = np.where(np.isnan(score), -np.inf, score).argmax(axis=1)
    return columns
