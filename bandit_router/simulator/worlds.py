"""Worlds: the order in which prompts come, and what changes while they do.

A world is drawn from a table, a scenario and a seed. It is the same for every policy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..config import nearest
from ..exceptions import InvalidInput
from .tables import Array, RoutingTable

SCENARIOS = (
    "stationary",
    "by-task",
    "degrade",
    "price",
    "new-arm",
    "retire",
    "delay",
    "noise",
)

_DELAY = 500
_LOST = 0.3
_FLIPPED = 0.1
_DEARER = 10.0


@dataclass(frozen=True, eq=False)
class Phase:
    """What holds from step `start` on.

    Attributes
    ----------
    quality, cost
        Shape (prompts, models).
    present
        Which models there are, shape (models,).
    dearer
        By what each model's list price is multiplied, shape (models,).
    """

    start: int
    quality: Array
    cost: Array
    present: NDArray[np.bool_]
    dearer: Array

    def eligible(self, row: int) -> NDArray[np.bool_]:
        """Return which models may answer a prompt now."""
        answered: NDArray[np.bool_] = ~np.isnan(self.quality[row])
        return answered & self.present


@dataclass(frozen=True, eq=False)
class World:
    """One stream of prompts.

    Attributes
    ----------
    order
        Row of the table at every step, shape (steps,).
    prefix
        Rows to train on, none of which is in the stream.
    phases
        In order; the first starts at 0.
    delay
        Decisions until a feedback arrives.
    lost, flipped
        Whether the feedback of a step never comes, or comes as its opposite, shape (steps,).
    """

    order: NDArray[np.int64]
    prefix: NDArray[np.int64]
    phases: tuple[Phase, ...]
    delay: int
    lost: NDArray[np.bool_]
    flipped: NDArray[np.bool_]

    @property
    def steps(self) -> int:
        """Length of the stream."""
        return len(self.order)

    def phase_of_steps(self) -> NDArray[np.int64]:
        """Return the index of the phase of every step, shape (steps,)."""
        starts = [phase.start for phase in self.phases]
        return np.searchsorted(starts, np.arange(self.steps), side="right") - 1


def make_world(
    table: RoutingTable,
    scenario: str,
    seed: int,
    steps: int,
    cost_weight: float,
    train: int = 0,
) -> World:
    """Return the world of a scenario.

    Parameters
    ----------
    table
        Already restricted to the models played.
    steps
        Length of the stream; beyond one pass it starts again in a new order.
    cost_weight
        Decides which arm is *the best*: the one of the highest mean utility.
    train
        Prompts drawn at random that are left out of the stream, to train policies on.

    Raises
    ------
    InvalidInput
        If there is no such scenario, or the table cannot play it.
    """
    if scenario not in SCENARIOS:
        raise InvalidInput(f"no scenario {scenario!r}{nearest(scenario, SCENARIOS)}", "scenario")
    if scenario == "price" and not table.has_cost:
        raise InvalidInput(f"table {table.name} has no costs to raise", "scenario")
    phases = _phases(table, scenario, steps, best_arm(table, cost_weight))
    rng = np.random.default_rng([seed, 0])
    prefix, possible = _split(_possible(table, scenario, phases), train, seed)
    chance = np.random.default_rng([seed, 1]).random((2, steps))
    return World(
        prefix=prefix,
        order=_order(table, possible, scenario == "by-task", rng, steps),
        phases=phases,
        delay=_DELAY if scenario == "delay" else 0,
        lost=chance[0] < (_LOST if scenario == "delay" else 0.0),
        flipped=chance[1] < (_FLIPPED if scenario == "noise" else 0.0),
    )


def one_pass(table: RoutingTable, scenario: str, cost_weight: float) -> int:
    """Return how many prompts some model can answer throughout: the length of one pass."""
    phases = _phases(table, scenario, 0, best_arm(table, cost_weight))
    return len(_possible(table, scenario, phases))


def best_arm(table: RoutingTable, cost_weight: float) -> int:
    """Return the column of the model with the highest mean utility."""
    utility = table.quality - cost_weight * table.cost / table.reference_cost_usd
    return int(np.nanargmax(np.nanmean(utility, axis=0)))


def _phases(table: RoutingTable, scenario: str, steps: int, best: int) -> tuple[Phase, ...]:
    arms = len(table.models)
    usual = Phase(0, table.quality, table.cost, np.ones(arms, dtype=bool), np.ones(arms))
    if scenario in ("stationary", "by-task", "delay", "noise"):
        return (usual,)
    half, target = steps // 2, np.arange(arms) == best
    if scenario == "degrade":
        worse = np.where(target, 0.5, 1.0) * table.quality
        return (usual, Phase(half, worse, table.cost, usual.present, usual.dearer))
    if scenario == "price":
        dearer = np.where(target, _DEARER, 1.0)
        return (usual, Phase(half, table.quality, table.cost * dearer, usual.present, dearer))
    without = Phase(0, table.quality, table.cost, ~target, usual.dearer)
    if scenario == "new-arm":
        return (without, _from(usual, steps // 3))
    return (usual, _from(without, half))


def _possible(table: RoutingTable, scenario: str, phases: tuple[Phase, ...]) -> NDArray[np.int64]:
    answered = [(~np.isnan(p.quality) & p.present).any(axis=1) for p in phases]
    possible = np.flatnonzero(np.all(answered, axis=0))
    if not len(possible):
        raise InvalidInput(f"table {table.name} has too few models for {scenario}", "scenario")
    return possible


def _from(phase: Phase, start: int) -> Phase:
    return Phase(start, phase.quality, phase.cost, phase.present, phase.dearer)


def _split(
    rows: NDArray[np.int64], train: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw `train` of the rows; return them, and the others."""
    if not 0 <= train < len(rows):
        raise InvalidInput(
            f"train must be at least 0 and below the {len(rows)} prompts there are", "train"
        )
    taken = np.random.default_rng([seed, 2]).permutation(len(rows)) < train
    return rows[taken], rows[~taken]


def _order(
    table: RoutingTable,
    rows: NDArray[np.int64],
    by_task: bool,
    rng: np.random.Generator,
    steps: int,
) -> NDArray[np.int64]:
    passes = []
    tasks = np.array(table.tasks)[rows]
    for _ in range(-(-steps // len(rows))):
        shuffled = rng.permutation(len(rows))
        if by_task:
            names = list(dict.fromkeys(tasks[shuffled].tolist()))
            place = {name: i for i, name in enumerate(rng.permutation(names).tolist())}
            turn = np.array([place[name] for name in tasks[shuffled].tolist()])
            shuffled = shuffled[np.argsort(turn, kind="stable")]
        passes.append(rows[shuffled])
    return np.concatenate(passes)[:steps]
