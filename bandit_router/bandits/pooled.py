"""What pooled evidence says of every arm at a place; in machine code. See `Posterior`.

Below, S is the number of candidate strengths, A of arms, L of levels, n of clusters around the
place at all levels together; those of level ``l`` are ``starts[l]`` to ``starts[l + 1]``.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np

from ..clustering.surroundings import parts
from ..compiled import compiled, reordered
from .arms import ACTIVE, KIN, LAMBDA, LEVEL, NOISE
from .belief import (
    COST,
    EVIDENCE,
    LATENCY,
    MEAN,
    SAMPLING,
    SUPPORT,
    VAR,
    Array,
    Rows,
)
from .blocks import blocks
from .credit import CN, LN, R, W
from .evidence import evidence_of
from .rates import rates

STRENGTH, WEIGHT, LOG_WEIGHT = range(3)
"""Rows of what is held of the candidate strengths."""


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

    def array(self, sharpening: float, difficulty_strength: float) -> Array:
        """Return the numbers in this order, and two of the `Pooling`, as `believe` takes them."""
        return np.array([*astuple(self), sharpening, difficulty_strength])


@compiled
def believe(
    out: Array,
    handed: Rows,
    words: Rows,
    folding: Array,
) -> None:
    """Go from the whole map to the finest clusters, once for each candidate strength.

    Parameters
    ----------
    out
        Takes the table of a `Belief`, shape (L + 9, A).
    handed
        See `evidence_of`.
    words
        See `Surroundings`.
    folding
        See `coordinates`.
    """
    arms, adjusted, sums, places, row_of, pools, tuning = evidence_of(handed)
    strengths, weights = pools[STRENGTH], pools[WEIGHT]
    count, size = len(strengths), arms.shape[1]
    starts, ids, kernel, z = parts(words)
    slope, seen, _, tilts, _ = blocks(adjusted, size)
    place = placed(coordinates(z, folding), seen)
    wide, untried, young, childhood, wide_here, untried_here, doubt, wide_tilt = tuning[:-2]
    sharpening, difficulty_strength = tuning[-2:]
    doubts = tilts[1]
    support = out[SUPPORT:]
    evidence, active = arms[W], arms[ACTIVE]
    rows = _rows(row_of, ids)
    held = 0
    for i in range(words[0]):  # the path: the finest is the last
        held = words[2 + i] or held
    means = _means(
        arms,
        sums,
        places,
        rows,
        kernel,
        starts,
        linear(place, 0, slope, 0),
        tilted(place, tilts[0]),
        slope,
        strengths,
        difficulty_strength,
    )
    rates(out, COST, arms, CN, sums, rows, kernel, starts)
    rates(out, LATENCY, arms, LN, sums, rows, kernel, starts)
    for a in range(size):
        support[0, a] = evidence[a]
        out[EVIDENCE, a] = sums[row_in(row_of, held), W, a] if held else evidence[a]
    levels = len(starts) - 1
    squared, short = np.empty((levels, size)), np.empty((levels + 1, size))
    _shortfall(evidence, active, short[0])
    for depth in range(levels):
        for a in range(size):
            once, twice = 0.0, 0.0  # weighed by nearness
            for i in range(starts[depth], starts[depth + 1]):
                weight = kernel[i] * sums[rows[i], W, a]
                once += weight
                twice += kernel[i] * weight
            support[depth + 1, a], squared[depth, a] = once, twice
        _shortfall(support[depth + 1], active, short[depth + 1])
    for a in range(size):
        quality = 0.0
        for s in range(count):
            quality += weights[s] * means[s, a]
        per = 1.0 / (evidence[a] + arms[LAMBDA, a])
        width = wide + young * childhood / (childhood + evidence[a]) + untried * short[0, a]
        tilt_var = _doubted(place, doubts, a)
        between, spread, sampled = 0.0, 0.0, 0.0
        for s in range(count):
            var, sampling, strength = per, width * per, strengths[s]
            if s == count - 1:
                var += tilt_var
                sampling += width * wide_tilt * tilt_var
            for depth in range(levels):
                # Neighbours are not here: for what is known they count less than for a guess.
                known = squared[depth, a] + strength
                var = (strength / known) ** 2 * var + doubt / known
                wider = wide_here + untried_here * short[depth + 1, a]
                sampling += wider / (support[depth + 1, a] + strength)
            between += weights[s] * (means[s, a] - quality) ** 2
            spread += weights[s] * var
            sampled += weights[s] * sampling
        out[MEAN, a] = quality
        out[VAR, a] = arms[NOISE, a] * spread + between
        out[SAMPLING, a] = (arms[NOISE, a] * sampled + between) / sharpening


@compiled
def foretell(
    arm: int,
    billed: bool,
    arms: Array,
    sums: Array,
    places: Array,
    row_of: Rows,
    ids: Rows,
    kernel: Array,
    starts: Rows,
    difficulty: float,
    tilt: Array,
    slope: Array,
    pools: Array,
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
        arms,
        sums,
        places,
        rows,
        kernel,
        starts,
        difficulty,
        tilt,
        slope,
        pools[STRENGTH],
        difficulty_strength,
    )[:, arm].copy()
    quality, cost = 0.0, np.nan
    for s in range(len(means)):
        quality += pools[WEIGHT, s] * means[s]
    if billed:
        costs = np.empty((2, arms.shape[1]))
        rates(costs, 0, arms, CN, sums, rows, kernel, starts)
        cost = costs[0, arm]
    return means, quality, cost


@compiled
def _rows(row_of: Rows, ids: Rows) -> Rows:
    """Return the row of each cluster."""
    rows = np.empty(len(ids), np.int64)
    for i in range(len(ids)):
        rows[i] = row_in(row_of, ids[i])
    return rows


@compiled
def row_in(row_of: Rows, id_: int) -> int:
    """Return the row of a cluster; 0 of one without evidence."""
    return row_of[id_] if id_ < len(row_of) else 0


@compiled
def _means(
    arms: Array,
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
    level = arms[LEVEL]
    means = np.zeros((len(strengths), len(level)))  # beside the level, first
    for a in range(len(level)):
        means[-1, a] = tilt[a]
    for depth in range(len(starts) - 1):
        near = rows[starts[depth] : starts[depth + 1]]
        counts = kernel[starts[depth] : starts[depth + 1]]
        _descend(
            arms, sums, places, near, counts, slope, strengths, difficulty_strength, depth, means
        )
    for s in range(len(strengths)):
        for a in range(len(level)):
            means[s, a] += level[a] + difficulty
    return means


@compiled
def _descend(
    arms: Array,
    sums: Array,
    places: Array,
    rows: Rows,
    kernel: Array,
    slope: Array,
    strengths: Array,
    difficulty_strength: float,
    depth: int,
    beside: Array,
) -> None:
    """Move the means by one level's clusters: all arms together, then each by its own residual."""
    level, kin = arms[LEVEL], arms[KIN]
    count, size = len(strengths), len(level)
    held = np.zeros((4 + count, size))  # one array: to make five takes longer than to fill them
    weight, near, seen, drawn, own = held[0], held[1], held[2], held[3], held[4:]
    together, total = np.zeros(count), 0.0
    # Before the first level all strengths say the same, but for the last, which is of the tilts.
    step = 1 if depth else max(count - 1, 1)
    for i in range(len(rows)):
        row, k = rows[i], kernel[i]
        total += k
        place = linear(places, row, slope, 0)
        everybody, moved = difficulty_strength, 0.0
        for a in range(size):
            weight[a] = sums[row, W, a]
            near[a] = k * weight[a]
            residual = sums[row, R, a] - weight[a] * (level[a] + place)
            everybody += weight[a]
            moved += residual
            seen[a] += near[a]
            drawn[a] += k * residual
        per = 1.0 / everybody
        for s in range(0, count, step):
            shared = moved
            for a in range(size):
                shared -= weight[a] * beside[s, a]
            shared *= per
            together[s] += shared * k
            for a in range(size):
                own[s, a] -= near[a] * shared
    for s in range(1, step):
        together[s] = together[0]
        for a in range(size):
            own[s, a] = own[0, a]
    for s in range(count):
        together[s] /= max(total, 1.0)
        for a in range(size):
            own[s, a] += drawn[a] - seen[a] * beside[s, a]
            own[s, a] /= seen[a] + strengths[s]
        for a in range(size):
            beside[s, a] += together[s] + own[s, a]
            if kin[a] != a:  # as far as it was not tried here, it is what its kin is
                beside[s, a] += strengths[s] / (seen[a] + strengths[s]) * own[s, int(kin[a])]


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
    """Return a place as a weighted sum of places, which is what `linear` takes, shape (1, size).

    Without a place, or with one of another dimension, it is everything `seen`.
    """
    size = seen.shape[1]
    out = np.zeros((1, size))
    if len(x) == size - 1 and len(x):
        for i in range(len(x)):
            out[0, i] = x[i]
        out[0, -1] = 1.0
        return out
    for a in range(len(seen)):
        for i in range(size):
            out[0, i] += seen[a, i]
    return out


@reordered
def linear(places: Array, row: int, slopes: Array, which: int) -> float:
    """Return the mean of ``slope' [z, 1]`` over a weighted sum of places.

    Places of another dimension than the slope's are at the middle.
    """
    # Were the loop inside a condition, it would run number by number wherever this is called.
    size, out = slopes.shape[1], 0.0
    for i in range(size - 1 if places.shape[1] == size else 0):
        out += places[row, i] * slopes[which, i]
    return float(out / max(places[row, -1], 1e-9) + slopes[which, -1])


@reordered
def _doubted(place: Array, doubts: Array, which: int) -> float:
    """Return the variance of `linear`, given that of every coefficient of the slope."""
    out, last = 0.0, doubts.shape[1] - 1
    for i in range(last):
        out += place[0, i] * place[0, i] * doubts[which, i]
    return float(out / max(place[0, last], 1e-9) ** 2 + doubts[which, last])


@compiled
def tilted(place: Array, tilts: Array) -> Array:
    """Return every arm's tilt at a place, shape (A,)."""
    out = np.empty(len(tilts))
    for a in range(len(out)):
        out[a] = linear(place, 0, tilts, a)
    return out


@compiled
def _shortfall(n: Array, active: Array, out: Array) -> None:
    """Write ``log(1 + N / (arms (n + 1)))``: how far each arm was tried less than its share."""
    share, arms = 0.0, 0
    for a in range(len(n)):
        if active[a]:
            share += n[a]
            arms += 1
    share /= max(arms, 1)
    for a in range(len(n)):
        out[a] = np.log1p(share / (n[a] + 1.0))
