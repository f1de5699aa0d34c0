"""Every arm's level over the whole map, adjusted for the prompts that it was tried on."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiled import compiled
from .belief import Array
from .blocks import blocks, room
from .cholesky import solve
from .credit import R, Sums, W
from .pooled import linear, placed

_SLOPE_DOUBT = 5.0  # pseudo-observations behind no slope of difficulty, and no common shift
_TILT_DOUBT = 3.0  # pseudo-observations behind no tilt of an arm along an axis
_MIDDLE_DOUBT = 30.0  # and in the middle, which the level has settled already
_SPREAD = 0.2  # standard deviation of the arms' levels around their priors, before any evidence
_SPREAD_WEIGHT = 4.0  # arms that this guess weighs as much as


class AdjustedLevels:
    """``E[y] = prior_a + u_a + beta' [z, 1]``: an arm's level beside a difficulty all arms share.

    A router sends hard prompts to its best arm, which would be blamed for them if means were
    compared: here the *difficulty* of a prompt is a linear function of its place, common to all
    arms, and fitted jointly with the levels (analysis of covariance, in closed form). The
    levels are drawn towards each other and towards their priors as much as the arms seen so far
    ask for (empirical Bayes): after several mediocre arms, another is expected to be mediocre;
    priors that turn out wrong are soon trusted less.

    Attributes
    ----------
    spread
        Variance of the levels around their priors, as believed now.
    levels, lambdas
        Of the arms, and the observations that their priors weigh as much as; shape (arms,).
    slope
        Of the difficulty, and its value in the middle, shape (dimension + 1,).
    tilts
        How an arm's rewards differ from level and difficulty, linear in place: the coefficients,
        and the variance of each in units of noise; shape (2, arms, dimension + 1).
    gram, seen, moment
        The sums ``G_a``, ``s_a`` and ``sum w y x`` of the notes, arm after arm.
    held
        What the last five are views of, for machine code; see `blocks`. None of them is ever
        replaced by itself.
    handed_over
        Whether `held` is what was handed over last, see `Handed`.

    Notes
    -----
    With ``u_a ~ N(0, spread)``, ``beta ~ N(0, noise / 5 I)`` and ``lambda = noise / spread``,
    ``beta`` solves ``(5 I + sum_a (G_a - s_a s_a' / (n_a + lambda_a))) beta =
    sum_a (g_a - s_a Y_a / (n_a + lambda_a))`` with ``G_a = sum w x x'``, ``s_a = sum w x``,
    ``g_a = sum w (y - prior_a) x`` and ``Y_a = sum w (y - prior_a)``; then
    ``u_a = (Y_a - s_a' beta) / (n_a + lambda_a)``. Then, for one arm at a time, its tilt is the
    ridge regression of what is left on the place; the coefficients count as independent where
    their variance is asked for. The state is these sums, and the tilts, each of which is solved
    when its arm has been observed some times more.

    References
    ----------
    Wan, Ge and Song (2021), Metadata-based multi-task bandits with Bayesian hierarchical models,
    NeurIPS; Hong, Kveton, Zaheer and Ghavamzadeh (2022), Hierarchical Bayesian bandits; Morris
    (1983), Parametric empirical Bayes inference, on the variance between arms.
    """

    def __init__(self) -> None:
        self.spread = _SPREAD**2
        self.levels = np.zeros(0)
        self.lambdas = np.zeros(0)
        self._lay(0, 0)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out views: of a copy they would be arrays of their own."""
        whole = ("spread", "levels", "lambdas", "held")
        return {name: getattr(self, name) for name in whole}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what `__getstate__` returned."""
        self.__dict__.update(state)
        self._look()

    def _look(self) -> None:
        """See what is held."""
        self.handed_over = False
        slope, *rest = blocks(self.held, len(self.held) // (4 + self.held.shape[1]))
        self.slope: Array = slope[0]
        self.seen, self.moment, self.tilts, self.gram = rest

    def _lay(self, arms: int, dimension: int) -> None:
        """Begin with nothing known of so many arms, at places of this dimension."""
        self.held = room(arms, dimension)
        self._look()
        self.tilts[1] = 1.0 / _TILT_DOUBT
        self.tilts[1, :, -1] = 1.0 / _MIDDLE_DOUBT

    def _widen(self, arms: int, dimension: int) -> None:
        """Make room; what is known of places of fewer dimensions stays at the middle."""
        slope, seen, moment, tilts, gram = blocks(self.held, len(self.seen))
        known, size = seen.shape
        self._lay(arms, dimension)
        self.slope[-size:] = slope[0]
        self.seen[:known, -size:], self.moment[:known, -size:] = seen, moment
        self.gram[:known, -size:, -size:] = gram
        if size == dimension + 1:
            self.tilts[:, :known] = tilts

    @property
    def dimension(self) -> int:
        """Of the places that it has learnt from."""
        return len(self.slope) - 1

    def add_arm(self) -> None:
        """Add an arm of which nothing is known."""
        self._widen(len(self.levels) + 1, self.dimension)
        self.levels = np.append(self.levels, 0.0)
        self.lambdas = np.append(self.lambdas, 1.0)

    def add(self, arm: int, sums: Sums, z: Array) -> None:
        """Add the `sums` of a credit (negative to take back) to an arm, for a prompt at `z`."""
        self.make_room(len(z))
        add_to_arm(self.gram, self.seen, self.moment, arm, sums, z)

    def only_level(self, arm: int, sums: Array) -> None:
        """Hold of an arm the `sums` of its weight and rewards alone, as if at the middle."""
        self.gram[arm], self.seen[arm], self.moment[arm] = 0.0, 0.0, 0.0
        self.gram[arm, -1, -1] = self.seen[arm, -1] = sums[W]
        self.moment[arm, -1] = sums[R]

    def fit(self, prior: Array, noise: Array) -> None:
        """Solve for levels and difficulty, given the arms' priors and noise, shape (arms,)."""
        self.lambdas = noise / self.spread
        levels, slope = np.empty(len(prior)), np.empty(len(self.slope))
        if not fit(self.held, prior, self.lambdas, levels, slope):
            # More was taken back than was held.
            self.placeless(np.maximum(self.seen[:, -1], 0.0), self.moment[:, -1].copy())
            self.fit(prior, noise)
            return
        self.slope[:] = slope
        self.levels = prior + levels
        per = 1.0 / (self.seen[:, -1] + self.lambdas)
        squares = float((levels * levels + noise * per).sum())
        self.spread = (_SPREAD_WEIGHT * _SPREAD**2 + squares) / (_SPREAD_WEIGHT + len(prior))

    def tilt(self, arm: int) -> None:
        """Solve for the tilt of an arm, given its level and the difficulty."""
        tilt(self.gram[arm], self.moment[arm], self.slope, self.levels[arm], self.tilts[:, arm])

    def difficulty(self, z: Array) -> float:
        """Return what a place takes from (negative) or adds to every arm's level.

        Without a place, the mean over everything seen.
        """
        return float(linear(placed(z, self.seen), 0, self.slope[None], 0))

    def moved(self, arm: int, by: float, scale: float) -> None:
        """Shift every reward of an arm by `by`, and scale its evidence."""
        self.moment[arm] = scale * (self.moment[arm] + by * self.seen[arm])
        self.gram[arm] *= scale
        self.seen[arm] *= scale

    def placeless(self, weight: Array, reward: Array) -> None:
        """Start again from each arm's weight and sum of rewards alone, as if at the middle."""
        self._lay(len(weight), 0)
        self.gram[:, 0, 0] = self.seen[:, 0] = weight
        self.moment[:, 0] = reward

    def state(self) -> dict[str, Any]:
        """Return the state as arrays and numbers."""
        return {
            "spread": self.spread,
            "levels": self.levels,
            "lambdas": self.lambdas,
            "slope": self.slope,
            "tilts": self.tilts,
            "gram": self.gram,
            "sum": self.seen,
            "moment": self.moment,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.spread = state["spread"]
        self.levels, self.lambdas = state["levels"].copy(), state["lambdas"].copy()
        self._lay(len(self.levels), len(state["slope"]) - 1)
        self.slope[:], self.tilts[:] = state["slope"], state["tilts"]
        self.seen[:], self.moment[:], self.gram[:] = state["sum"], state["moment"], state["gram"]

    def make_room(self, dimension: int) -> None:
        """Make room for places of this dimension; what has none stays at the middle."""
        if dimension > self.dimension:
            self._widen(len(self.levels), dimension)


@compiled
def fit(held: Array, prior: Array, lambdas: Array, levels: Array, slope: Array) -> bool:
    """Write each arm's level beside its prior, and the slope of the difficulty.

    Parameters
    ----------
    held
        See `AdjustedLevels`.

    Returns
    -------
    bool
        Whether there is a solution.
    """
    _, seen, moment, _, gram = blocks(held, len(prior))
    arms, size = seen.shape
    precision = np.zeros((size, size))
    slope[:] = 0.0
    for a in range(arms):
        per = 1.0 / (seen[a, -1] + lambdas[a])
        levels[a] = moment[a, -1] - prior[a] * seen[a, -1]
        for i in range(size):
            slope[i] += moment[a, i] - prior[a] * seen[a, i] - per * levels[a] * seen[a, i]
            for j in range(size):
                precision[i, j] += gram[a, i, j] - per * seen[a, i] * seen[a, j]
    for i in range(size):
        precision[i, i] += _SLOPE_DOUBT
    if not solve(precision, slope):
        return False
    for a in range(arms):
        for i in range(size):
            levels[a] -= seen[a, i] * slope[i]
        levels[a] /= seen[a, -1] + lambdas[a]
    return True


@compiled
def tilt(gram: Array, moment: Array, slope: Array, level: float, out: Array) -> None:
    """Write an arm's tilt, and the variance of each of its coefficients; none if that is unsound.

    Parameters
    ----------
    gram, moment
        Of the arm, shape (dimension + 1, dimension + 1) and (dimension + 1,).
    out
        Shape (2, dimension + 1).
    """
    size = len(moment)
    ridged = gram.copy()
    for i in range(size):
        ridge = _TILT_DOUBT if i < size - 1 else _MIDDLE_DOUBT
        ridged[i, i] += ridge
        out[0, i] = moment[i] - gram[i, -1] * level
        for j in range(size):
            out[0, i] -= gram[i, j] * slope[j]
        out[1, i] = 1.0 / (max(gram[i, i], 0.0) + ridge)
    if not solve(ridged, out[0]):
        out[0] = 0.0


@compiled
def add_to_arm(gram: Array, sum_: Array, moment: Array, arm: int, sums: Sums, z: Array) -> None:
    """Add the `sums` of a credit to an arm, for a prompt at `z`; in place."""
    size = sum_.shape[1]
    x = np.zeros(size)
    for i in range(len(z)):  # a prompt without a place is at the middle
        x[size - 1 - len(z) + i] = z[i]
    x[size - 1] = 1.0
    for i in range(size):
        for j in range(size):
            gram[arm, i, j] += sums[W] * x[i] * x[j]
        sum_[arm, i] += sums[W] * x[i]
        moment[arm, i] += sums[R] * x[i]
