"""What one credit does to all that is held; in machine code. See `Posterior.learn`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..clustering.surroundings import parts
from ..compiled import compiled
from .adjusted import add_to_arm
from .arms import NOISE, PRIOR
from .belief import Array, Rows
from .blocks import blocks
from .cells import add_to_cell
from .credit import CN, R2, R, Sums, W, added
from .evidence import evidence_of
from .pooled import (
    LOG_WEIGHT,
    WEIGHT,
    coordinates,
    foretell,
    linear,
    placed,
    row_in,
    tilted,
)

_NOISE_WEIGHT = 2.0
_NOISE_PRIOR = 2.0  # pseudo-rewards behind the mean that an arm's noise follows from
_LEAST_NOISE = 0.05


@compiled
def learn(
    credit: Sums,
    about: tuple[Any, ...],
    handed: Rows,
    words: Rows,
    folding: Array,
) -> tuple[bool, bool, float, float, float, float]:
    """Add a credit to every level, after what was foretold has been held against it.

    Parameters
    ----------
    credit
        See `Posterior.learn`.
    about
        The number of the arm, whether it is fresh, and the path; see there. One tuple: to hand
        over each takes as long as all.
    handed, words, folding
        As `pooled.believe` takes them; what is held is altered in place.

    Returns
    -------
    tuple
        Whether there was room, without which nothing is done (see `Cells` and `AdjustedLevels`);
        whether no more was taken back than was held; quality and cost (nan: no bill came) that
        were foretold; the arm's evidence before and after.
    """
    arm, fresh, path = about[0], about[1], about[2:]
    arms, adjusted, sums, places, row_of, pools, tuning = evidence_of(handed)
    starts, ids, kernel, z = parts(words)
    slope, seen, moment, tilts, gram = blocks(adjusted, arms.shape[1])
    x = coordinates(z, folding)
    before = arms[W, arm]
    moves = credit[W] != 0.0 or credit[R] != 0.0 or credit[R2] != 0.0
    if moves and len(x) >= len(slope[0]):
        return False, True, 0.0, 0.0, before, before
    for id_ in path:
        if id_ and (row_in(row_of, id_) == 0 or (credit[W] and places.shape[1] != len(x) + 1)):
            return False, True, 0.0, 0.0, before, before
    place = placed(x, seen)
    means, quality, cost = foretell(
        arm,
        credit[CN] != 0.0,
        arms,
        sums,
        places,
        row_of,
        ids,
        kernel,
        starts,
        linear(place, 0, slope, 0),
        tilted(place, tilts[0]),
        slope,
        pools,
        tuning[-1],
    )
    if fresh and credit[W] > 0:
        # Weigh the candidate strengths by how well each foretold the reward.
        weigh(pools, means, credit, arms[NOISE, arm])
    sound = added(arms[:, arm], credit)
    for id_ in path:
        if id_:
            add_to_cell(sums, places, row_of[id_], arm, credit, x)
    if moves:
        add_to_arm(gram, seen, moment, arm, credit, x)
    noises(arms)
    return True, sound, quality, cost, before, arms[W, arm]


@compiled
def weigh(pools: Array, foretold: Array, sums: Sums, noise: float) -> None:
    """Believe strengths the less, the farther from the reward was what they had foretold.

    Parameters
    ----------
    pools
        Of the strengths, see `believe`: altered in place.
    foretold
        The mean reward by each strength, shape (S,).
    sums
        Of the credit, shape (`ROWS`,).
    noise
        Variance of one reward around its mean.
    """
    weights, log_weights = pools[WEIGHT], pools[LOG_WEIGHT]
    reward, weight = sums[R] / sums[W], min(sums[W], 1.0)
    for s in range(len(foretold)):
        error = reward - foretold[s]
        log_weights[s] -= weight * error * error / (2.0 * noise)
    most = log_weights[0]
    for s in range(1, len(foretold)):
        most = max(most, log_weights[s])
    for s in range(len(foretold)):
        log_weights[s] -= most
        weights[s] = np.exp(log_weights[s])
    weights /= weights.sum()


@compiled
def noises(arms: Array) -> None:
    """Write the variance of one reward of each arm around its mean, shape (arms,).

    Graded rewards vary less than 0/1 rewards of the same mean: by how much is learnt from all
    arms at once, since an arm's own few rewards say too little (three zeros in a row have no
    variance, and must not end its exploration). For the same reason two rewards of the prior's
    mean are added to what the mean follows from, as intervals of proportions do: with one, a
    best arm that failed in its first four trials was left alone for ten thousand prompts.

    Parameters
    ----------
    arms
        Shape (`ARM_ROWS`, arms), see `arms`.

    References
    ----------
    Agresti and Coull (1998), Approximate is better than "exact" for interval estimation of
    binomial proportions, The American Statistician 52.
    """
    prior, noise = arms[PRIOR], arms[NOISE]
    observed, expected = _NOISE_WEIGHT, _NOISE_WEIGHT
    for a in range(len(prior)):
        n, s = arms[W, a], arms[R, a]
        middle = (s + _NOISE_PRIOR * prior[a]) / (n + _NOISE_PRIOR)
        middle = min(max(middle, 0.0), 1.0)
        noise[a] = max(middle * (1.0 - middle), _LEAST_NOISE)
        observed += max(arms[R2, a] - s * s / max(n, 1e-12), 0.0)
        expected += max(n - 1.0, 0.0) * noise[a]
    scale = min(observed / expected, 1.0)
    for a in range(len(prior)):
        noise[a] *= scale
