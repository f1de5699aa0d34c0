"""What pooled evidence says of every arm at a place; in machine code. See `Posterior`.

Below, S is the number of candidate strengths, A of arms, L of levels, n of clusters around the
place at all levels together; those of level ``l`` are ``starts[l]`` to ``starts[l + 1]``.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from ..clustering.surroundings import parts
from ..compiled import compiled, reordered
from .belief import (
    COST,
    COST_VAR,
    EVIDENCE,
    LATENCY,
    LATENCY_VAR,
    MEAN,
    SAMPLING,
    SUPPORT,
    VAR,
    Array,
    Rows,
)
from .credit import CN, LN, R, W
from .rates import rates


@dataclass(frozen=True, slots=True)
class Widths:
    """How widely to sample, and how much to doubt; variances in units of noise / evidence.

    `level` is for the level of an arm, `place` for what is particular to a place, before
    sharpening. `untried` and `untried_here` are what each grows by with the logarithm of how
    far an arm has been tried less than its share. `young` is what an arm's first trials widen
    its level by, until it has had about `childhood` of them. `doubt` is what a place may differ
    by from what its surroundings say. `tilt` is for an arm's tilt, in widths of its level.
    """

    level: float
    untried: float
    young: float
    childhood: float
    place: float
    untried_here: float
    doubt: float
    tilt: float

    def array(self) -> Array:
        """Return the numbers in this order, as `believe` takes them."""
        return np.array(astuple(self))


@compiled
def believe(
    out: Array,
    prior: Array,
    noise: Array,
    active: NDArray[np.bool_],
    widths: Array,
    sharpening: float,
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
) -> None:
    """Go from the whole map to the finest clusters, once for each candidate strength.

    Parameters
    ----------
    out
        Takes the table of a `Belief`, shape (L + 9, A).
    prior, noise, active
        Of the arms, shape (A,): weight of what was believed before, in observations; variance of
        one reward around its mean; whether it is one of those that share the traffic.
    widths, sharpening
        See `Widths` and `Pooling`.
    total, listed
        Of the arms over the whole map: sums, shape (`ROWS`, A); list prices, shape (A,).
    level, kin
        Of the arms, shape (A,): level, adjusted for the prompts that an arm was tried on; the arm
        that it is like, itself if none.
    sums, places, row_of
        Of every cluster, see `Cells`; shape (rows, `ROWS`, A) and (rows, dimension + 1).
    words
        See `Surroundings`.
    seen
        Of the arms, shape (A, dimension + 1): the places that they were tried at, summed up.
    folding
        See `coordinates`.
    slope
        Of the difficulty, and its value in the middle, shape (dimension + 1,).
    tilts
        Of the arms, see `AdjustedLevels`; shape (2, A, dimension + 1).
    strengths, weights
        Of the pooling, and how much each is believed, shape (S,); the last is of the tilts.
    """
    count, size = len(strengths), len(level)
    starts, ids, kernel, z = parts(words)
    place = placed(coordinates(z, folding), seen)
    wide, untried, young, childhood, wide_here, untried_here, doubt, wide_tilt = widths
    out[:] = 0.0
    support = out[SUPPORT:]
    evidence = total[W]
    rows = _rows(row_of, ids)
    held = 0
    for i in range(words[0]):  # the path: the finest is the last
        held = words[2 + i] or held
    means = _means(
        level,
        kin,
        sums,
        places,
        rows,
        kernel,
        starts,
        linear(place, slope),
        tilted(place, tilts),
        slope,
        strengths,
        difficulty_strength,
    )
    unlisted = np.full(size, np.nan)
    costs = rates(total, listed, CN, sums, rows, kernel, starts)
    latencies = rates(total, unlisted, LN, sums, rows, kernel, starts)
    for a in range(size):
        support[0, a] = total[W, a]
        out[EVIDENCE, a] = sums[_row(row_of, held), W, a] if held else total[W, a]
        out[COST, a], out[COST_VAR, a] = costs[0, a], costs[1, a]
        out[LATENCY, a], out[LATENCY_VAR, a] = latencies[0, a], latencies[1, a]
    var, sampling = np.empty((count, size)), np.empty((count, size))
    short = np.empty(size)
    _shortfall(evidence, active, short)
    for a in range(size):
        per = 1.0 / (evidence[a] + prior[a])
        width = wide + young * childhood / (childhood + evidence[a]) + untried * short[a]
        for s in range(count):
            var[s, a], sampling[s, a] = per, width * per
        tilt_var = _doubted(place, tilts[1, a])
        var[-1, a] += tilt_var
        sampling[-1, a] += width * wide_tilt * tilt_var
    for depth in range(len(starts) - 1):
        here, squared = support[depth + 1], np.zeros(size)
        near = rows[starts[depth] : starts[depth + 1]]
        counts = kernel[starts[depth] : starts[depth + 1]]
        for i in range(len(near)):
            k = counts[i]
            for a in range(size):
                weight = sums[near[i], W, a]
                here[a] += k * weight
                squared[a] += k * k * weight
        _shortfall(here, active, short)
        for s in range(count):
            strength = strengths[s]
            for a in range(size):
                # Neighbours are not here: for what is known they count less than for a guess.
                known = squared[a] + strength
                var[s, a] = (strength / known) ** 2 * var[s, a] + doubt / known
                width = wide_here + untried_here * short[a]
                sampling[s, a] += width / (here[a] + strength)
    quality, spread, sampled = out[MEAN], out[VAR], out[SAMPLING]
    for a in range(size):
        for s in range(count):
            quality[a] += weights[s] * means[s, a]
        between = 0.0
        for s in range(count):
            between += weights[s] * (means[s, a] - quality[a]) ** 2
            spread[a] += weights[s] * var[s, a]
            sampled[a] += weights[s] * sampling[s, a]
        spread[a] = noise[a] * spread[a] + between
        sampled[a] = (noise[a] * sampled[a] + between) / sharpening


@compiled
def foretell(
    arm: int,
    billed: bool,
    total: Array,
    listed: Array,
    level: Array,
    kin: Rows,
    sums: Array,
    places: Array,
    row_of: Rows,
    ids: Rows,
    kernel: Array,
    starts: Rows,
    difficulty: float,
    tilt: Array,
    slope: Array,
    strengths: Array,
    weights: Array,
    difficulty_strength: float,
) -> tuple[Array, float, float]:
    """Return what `believe` says of one arm's reward and cost, which takes less time.

    Returns
    -------
    tuple
        Mean reward by every strength, shape (S,); that which is believed; mean cost, nan unless
        `billed`.
    """
    rows = _rows(row_of, ids)
    means = _means(
        level,
        kin,
        sums,
        places,
        rows,
        kernel,
        starts,
        difficulty,
        tilt,
        slope,
        strengths,
        difficulty_strength,
    )[:, arm].copy()
    quality, cost = 0.0, np.nan
    for s in range(len(means)):
        quality += weights[s] * means[s]
    if billed:
        cost = rates(total, listed, CN, sums, rows, kernel, starts)[0, arm]
    return means, quality, cost


@compiled
def _rows(row_of: Rows, ids: Rows) -> Rows:
    """Return the row of each cluster; 0 of one without evidence."""
    rows = np.empty(len(ids), np.int64)
    for i in range(len(ids)):
        rows[i] = _row(row_of, ids[i])
    return rows


@compiled
def _row(row_of: Rows, id_: int) -> int:
    return row_of[id_] if id_ < len(row_of) else 0


@compiled
def _means(
    level: Array,
    kin: Rows,
    sums: Array,
    places: Array,
    rows: Rows,
    kernel: Array,
    starts: Rows,
    difficulty: float,
    tilt: Array,
    slope: Array,
    strengths: Array,
    difficulty_strength: float,
) -> Array:
    """Return the mean reward of every arm by every strength, shape (S, A)."""
    means = np.zeros((len(strengths), len(level)))  # beside the level, first
    for a in range(len(level)):
        means[-1, a] = tilt[a]
    for depth in range(len(starts) - 1):
        near = rows[starts[depth] : starts[depth + 1]]
        counts = kernel[starts[depth] : starts[depth + 1]]
        _descend(
            level, kin, sums, places, near, counts, slope, strengths, difficulty_strength, means
        )
    for s in range(len(strengths)):
        for a in range(len(level)):
            means[s, a] += level[a] + difficulty
    return means


@compiled
def _descend(
    level: Array,
    kin: Rows,
    sums: Array,
    places: Array,
    rows: Rows,
    kernel: Array,
    slope: Array,
    strengths: Array,
    difficulty_strength: float,
    beside: Array,
) -> None:
    """Move the means by one level's clusters: all arms together, then each by its own residual."""
    count, size = len(strengths), len(level)
    weight, residual, seen = np.empty(size), np.empty(size), np.zeros(size)
    own, together, total = np.zeros((count, size)), np.zeros(count), 0.0
    for i in range(len(rows)):
        k = kernel[i]
        total += k
        place = linear(places[rows[i]], slope)
        held, moved = difficulty_strength, 0.0
        for a in range(size):
            weight[a] = sums[rows[i], W, a]
            residual[a] = sums[rows[i], R, a] - weight[a] * (level[a] + place)
            held += weight[a]
            moved += residual[a]
            seen[a] += k * weight[a]
        for s in range(count):
            shared = moved
            for a in range(size):
                shared -= weight[a] * beside[s, a]
            shared /= held
            together[s] += shared * k
            for a in range(size):
                own[s, a] += k * (residual[a] - weight[a] * (beside[s, a] + shared))
    for s in range(count):
        together[s] /= max(total, 1.0)
        for a in range(size):
            own[s, a] /= seen[a] + strengths[s]
        for a in range(size):
            beside[s, a] += together[s] + own[s, a]
            if kin[a] != a:  # as far as it was not tried here, it is what its kin is
                beside[s, a] += strengths[s] / (seen[a] + strengths[s]) * own[s, kin[a]]


@compiled
def coordinates(z: Array, folding: Array) -> Array:
    """Return what difficulty is linear in: a place, in fewer dimensions if there is a folding.

    Parameters
    ----------
    folding
        Shape (fewer, dimension); without rows the place is taken as it is.
    """
    return z if len(folding) == 0 else np.dot(folding, z)


@compiled
def placed(x: Array, seen: Array) -> Array:
    """Return a place as a weighted sum of places, which is what `linear` takes.

    Without a place, or with one of another dimension, it is everything `seen`.
    """
    size = seen.shape[1]
    out = np.zeros(size)
    if len(x) == size - 1 and len(x):
        for i in range(len(x)):
            out[i] = x[i]
        out[-1] = 1.0
        return out
    for a in range(len(seen)):
        for i in range(size):
            out[i] += seen[a, i]
    return out


@reordered
def linear(place: Array, slope: Array) -> float:
    """Return the mean of ``slope' [z, 1]`` over a weighted sum of places."""
    out = 0.0
    if len(place) == len(slope):
        for i in range(len(place) - 1):
            out += place[i] * slope[i]
        out /= max(place[-1], 1e-9)
    return float(out + slope[-1])


@reordered
def _doubted(place: Array, doubts: Array) -> float:
    """Return the variance of `linear`, given that of every coefficient of the slope."""
    out = 0.0
    for i in range(len(place) - 1):
        out += place[i] * place[i] * doubts[i]
    return float(out / max(place[-1], 1e-9) ** 2 + doubts[-1])


@compiled
def tilted(place: Array, tilts: Array) -> Array:
    """Return every arm's tilt at a place, shape (A,)."""
    out = np.empty(tilts.shape[1])
    for a in range(len(out)):
        out[a] = linear(place, tilts[0, a])
    return out


@compiled
def _shortfall(n: Array, active: NDArray[np.bool_], out: Array) -> None:
    """Write ``log(1 + N / (arms (n + 1)))``: how far each arm was tried less than its share."""
    share, arms = 0.0, 0
    for a in range(len(n)):
        if active[a]:
            share += n[a]
            arms += 1
    share /= max(arms, 1)
    for a in range(len(n)):
        out[a] = np.log1p(share / (n[a] + 1.0))
