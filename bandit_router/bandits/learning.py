"""What one credit does to all that is held; in machine code. See `Posterior.learn`."""

from __future__ import annotations

import numpy as np

from ..clustering.surroundings import parts
from ..compiled import compiled
from .adjusted import add_to_arm
from .belief import Array, Rows
from .cells import add_to_cell
from .credit import R2, R, Sums, W, added
from .pooled import coordinates, foretell, linear, placed, tilted

_NOISE_WEIGHT = 2.0
_NOISE_PRIOR = 2.0  # pseudo-rewards behind the mean that an arm's noise follows from
_LEAST_NOISE = 0.05


@compiled
def learn(
    credit: Sums,
    arm: int,
    path: tuple[int, ...],
    fresh: bool,
    billed: bool,
    log_weights: Array,
    prior: Array,
    noise: Array,
    gram: Array,
    sum_: Array,
    moment: Array,
    total: Array,
    listed: Array,
    level: Array,
    kin: Rows,
    sums: Array,
    places: Array,
    row_of: Rows,
    words: Rows,
    seen: Array,
    folding: Array,
    slope: Array,
    tilts: Array,
    strengths: Array,
    weights: Array,
    difficulty_strength: float,
) -> tuple[float, float, bool]:
    """Add a credit to every level, after what was foretold has been held against it.

    Parameters
    ----------
    credit, arm, path, fresh
        See `Posterior.learn`; every cluster of the path has a row.
    billed
        Whether the cost that was foretold is asked for.
    log_weights, prior, noise
        Of the strengths and of the arms, see `weigh` and `noises`.
    gram, sum_, moment
        Of the arms, see `AdjustedLevels`.
    total, ...
        As `pooled.believe` takes them; what is held is altered in place.

    Returns
    -------
    tuple
        Quality and cost that were foretold; whether no more was taken back than was held.
    """
    starts, ids, kernel, z = parts(words)
    x = coordinates(z, folding)
    place = placed(x, seen)
    means, quality, cost = foretell(
        arm,
        billed,
        total,
        listed,
        level,
        kin,
        sums,
        places,
        row_of,
        ids,
        kernel,
        starts,
        linear(place, slope),
        tilted(place, tilts),
        slope,
        strengths,
        weights,
        difficulty_strength,
    )
    if fresh and credit[W] > 0:
        # Weigh the candidate strengths by how well each foretold the reward.
        weigh(log_weights, weights, means, credit, noise[arm])
    sound = added(total[:, arm], credit)
    for id_ in path:
        if id_:
            add_to_cell(sums, places, row_of[id_], arm, credit, x)
    if credit[W] or credit[R] or credit[R2]:
        add_to_arm(gram, sum_, moment, arm, credit, x)
    noises(total, prior, noise)
    return quality, cost, sound


@compiled
def weigh(log_weights: Array, weights: Array, foretold: Array, sums: Sums, noise: float) -> None:
    """Believe strengths the less, the farther from the reward was what they had foretold.

    Parameters
    ----------
    log_weights, weights
        Of the strengths, shape (S,): altered in place.
    foretold
        The mean reward by each strength, shape (S,).
    sums
        Of the credit, shape (`ROWS`,).
    noise
        Variance of one reward around its mean.
    """
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
def noises(total: Array, prior: Array, noise: Array) -> None:
    """Write the variance of one reward of each arm around its mean, shape (arms,).

    Graded rewards vary less than 0/1 rewards of the same mean: by how much is learnt from all
    arms at once, since an arm's own few rewards say too little (three zeros in a row have no
    variance, and must not end its exploration). For the same reason two rewards of the prior's
    mean are added to what the mean follows from, as intervals of proportions do: with one, a
    best arm that failed in its first four trials was left alone for ten thousand prompts.

    Parameters
    ----------
    total
        Sums of each arm, shape (`ROWS`, arms).
    prior
        Mean quality that is believed before any evidence, shape (arms,).

    References
    ----------
    Agresti and Coull (1998), Approximate is better than "exact" for interval estimation of
    binomial proportions, The American Statistician 52.
    """
    observed, expected = _NOISE_WEIGHT, _NOISE_WEIGHT
    for a in range(len(prior)):
        n, s = total[W, a], total[R, a]
        middle = (s + _NOISE_PRIOR * prior[a]) / (n + _NOISE_PRIOR)
        middle = min(max(middle, 0.0), 1.0)
        noise[a] = max(middle * (1.0 - middle), _LEAST_NOISE)
        observed += max(total[R2, a] - s * s / max(n, 1e-12), 0.0)
        expected += max(n - 1.0, 0.0) * noise[a]
    scale = min(observed / expected, 1.0)
    for a in range(len(prior)):
        noise[a] *= scale
