"""Among the eligible: who is chosen, and the table of what was believed of each."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..bandits.belief import COST, LATENCY, MEAN, VAR, Array, Belief, UtilityBelief
from ..bandits.belief import EVIDENCE as BELIEF_EVIDENCE
from ..bandits.draws import Draws
from ..bandits.normal import NORMAL, highest_of
from ..bandits.philox import normals
from ..bandits.thompson import winner
from ..candidates import (
    COST_USD,
    DRAW,
    EVIDENCE,
    LATENCY_MS,
    PROPENSITY,
    QUALITY,
    QUALITY_SD,
    UTILITY,
    Candidates,
)
from ..compiled import compiled

_NONE = -1
_LEAST_CHANCE = 1e-12
_MORE = EVIDENCE - BELIEF_EVIDENCE  # columns of a candidate than rows of a belief


class Eligible(NamedTuple):
    """Which of a policy's arms a request is among; not to be written to.

    `mask` has shape (arms,); `rows` holds their numbers in the order of the request's.
    """

    mask: NDArray[np.bool_]
    rows: NDArray[np.int64]


@lru_cache(maxsize=1024)
def eligible(arms: tuple[str, ...], wanted: tuple[str, ...]) -> Eligible:
    """Return where those that are `wanted` are among `arms`."""
    mask = np.array([arm in wanted for arm in arms], dtype=np.bool_)
    return Eligible(mask, np.array([arms.index(arm) for arm in wanted], dtype=np.int64))


def any_arm(eligible: Eligible, floor: float, draws: Draws) -> int | None:
    """Return an arm at random, as often as a floor asks for it; else None."""
    if draws.generator.random() >= floor * len(eligible.rows):
        return None
    return int(draws.generator.choice(np.flatnonzero(eligible.mask)))


def settled(
    arms: tuple[str, ...],
    eligible: Eligible,
    belief: Belief,
    chance: Array,
    utility: UtilityBelief,
    score: Array,
    taken: int | None = None,
) -> tuple[int, Candidates]:
    """Return which of a policy's arms is chosen, and what was believed of those that could be.

    Parameters
    ----------
    arms, eligible
        Of the request.
    belief, chance, utility, score
        Of the policy's arms; the highest score wins, the first of equals. Who wins had a chance,
        however small: no log may say 0.
    taken
        The arm that is chosen whatever the scores.
    """
    table = np.empty((len(arms), len(belief.table) + _MORE))
    forced = _NONE if taken is None else taken
    won = _settle(eligible.rows, belief.table, chance, utility.moments, score, forced, table)
    return won, Candidates(arms, table)


def sampled(
    arms: tuple[str, ...], eligible: Eligible, belief: Belief, utility: UtilityBelief, draws: Draws
) -> tuple[int, Candidates] | None:
    """Return what `draw`, `propensities` and `settled` come to, by one call of machine code.

    None where it takes more: utilities that are not Gaussian, or so unlike in width that
    `highest` gives up; or draws that are not a decision's first.
    """
    first = draws.first
    if first is None or utility.beta is not None:
        return None
    table = np.empty((len(arms), len(belief.table) + _MORE))
    won = _sample(
        *first, eligible.mask, eligible.rows, belief.table, utility.moments, NORMAL, table
    )
    if won == _NONE:
        return None
    draws.passed(belief.table.shape[1])
    return won, Candidates(arms, table)


@compiled
def _sample(
    key: NDArray[np.uint64],
    counter: NDArray[np.uint64],
    mask: NDArray[np.bool_],
    rows: NDArray[np.int64],
    belief: Array,
    utility: Array,
    normal: Array,
    out: Array,
) -> int:
    """Draw, and write a row of numbers for every candidate; see `sampled`."""
    size = belief.shape[1]
    chance, score = np.zeros(size), np.empty(size)
    if not highest_of(utility, mask, normal, chance):
        return _NONE
    normals(key, counter, utility, score)
    return _settle(rows, belief, chance, utility, score, _NONE, out)


@compiled
def _settle(
    rows: NDArray[np.int64],
    belief: Array,
    chance: Array,
    utility: Array,
    score: Array,
    taken: int,
    out: Array,
) -> int:
    """Write a row of numbers for every candidate; see `settled`."""
    won = winner(score, rows) if taken < 0 else taken
    chance[won] = max(chance[won], _LEAST_CHANCE)
    for i in range(len(rows)):
        a = rows[i]
        out[i, PROPENSITY] = chance[a]
        out[i, QUALITY] = min(max(belief[MEAN, a], 0.0), 1.0)
        out[i, QUALITY_SD] = np.sqrt(belief[VAR, a])
        out[i, COST_USD] = belief[COST, a]
        out[i, LATENCY_MS] = belief[LATENCY, a]
        out[i, UTILITY] = utility[0, a]
        out[i, DRAW] = score[a]
        for row in range(BELIEF_EVIDENCE, len(belief)):
            out[i, EVIDENCE + row - BELIEF_EVIDENCE] = belief[row, a]
    return won
