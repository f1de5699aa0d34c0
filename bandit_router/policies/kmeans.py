"""Offline k-means and a table of success rates: the static semantic router."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..bandits.belief import Array
from ..config import BanditSettings
from ..embedding.base import Projection
from .trained import Table, TrainedPolicy, mean_by_arm

_CLUSTERS = 25
_LEAST_PROMPTS = 8  # a cluster
_PSEUDO = 1.0
_STARTS, _ROUNDS = 5, 50


class KMeansPolicy(TrainedPolicy):
    """Each prompt goes to the nearest of 25 centres, and takes the arm that did best there.

    Rates are shrunk by one pseudo-observation towards the arm's overall rate, so that an arm
    never tried in a cluster has one.

    References
    ----------
    Zhang et al. (2025), Beyond GPT-5: making LLMs cheaper and better via performance-efficiency
    optimized routing (Avengers-Pro; 25 clusters); Jitkrittum et al. (2025), Universal model
    routing for efficient LLM inference.
    """

    name = "kmeans"

    def __init__(self, settings: BanditSettings, projection: Projection | None) -> None:
        super().__init__(settings, projection)
        self._centres = np.zeros((0, 0))
        self._quality = self._cost = np.zeros((0, 0))

    def fit(self, table: Table, rng: np.random.Generator) -> None:
        """Cluster the prompts; take every arm's mean quality and cost in each cluster."""
        k = max(1, min(_CLUSTERS, len(table.z) // _LEAST_PROMPTS))
        self._centres = centres(table.z, k, rng)
        label = nearest(table.z, self._centres)
        self._quality = _rates(table.quality, label, k, 0.5)
        self._cost = _rates(table.cost, label, k, np.nan)

    def predict(self, z: Array) -> tuple[Array, Array]:
        """Return the rates of the nearest cluster."""
        label = int(nearest(z[None], self._centres)[0])
        return self._quality[label], self._cost[label]

    def fitted(self) -> dict[str, Any]:
        """Return centres and rates."""
        return {"centres": self._centres, "quality": self._quality, "cost": self._cost}

    def refit(self, fitted: dict[str, Any]) -> None:
        """Take over what `fitted` returned."""
        self._centres = fitted["centres"]
        self._quality, self._cost = fitted["quality"], fitted["cost"]


def centres(z: Array, k: int, rng: np.random.Generator) -> Array:
    """Return the best of five runs of Lloyd's algorithm from k-means++ seeds, shape (k, d)."""
    found = [_lloyd(z, _seeds(z, k, rng)) for _ in range(_STARTS)]
    return min(found, key=lambda c: float(_squares(z, c).min(axis=1).sum()))


def nearest(z: Array, at: Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the index of the nearest centre of each row."""
    label: np.ndarray[Any, np.dtype[np.int64]] = _squares(z, at).argmin(axis=1)
    return label


def _squares(z: Array, at: Array) -> Array:
    out: Array = np.maximum((z * z).sum(1)[:, None] - 2.0 * z @ at.T + (at * at).sum(1), 0.0)
    return out


def _seeds(z: Array, k: int, rng: np.random.Generator) -> Array:
    rows = [int(rng.integers(len(z)))]
    while len(rows) < k:
        far = _squares(z, z[rows]).min(axis=1)
        total = far.sum()
        rows.append(int(rng.choice(len(z), p=far / total if total > 0 else None)))
    return z[rows].copy()


def _lloyd(z: Array, at: Array) -> Array:
    for _ in range(_ROUNDS):
        label = nearest(z, at)
        moved = np.stack(
            [z[label == i].mean(axis=0) if (label == i).any() else at[i] for i in range(len(at))]
        )
        if np.allclose(moved, at):
            break
        at = moved
    return at


def _rates(
    values: Array, label: np.ndarray[Any, np.dtype[np.int64]], k: int, fallback: float
) -> Array:
    overall = mean_by_arm(values, fallback)
    out = np.empty((k, values.shape[1]))
    for i in range(k):
        here = values[label == i]
        known = np.isfinite(here)
        total = np.where(known, here, 0.0).sum(axis=0) + _PSEUDO * overall
        out[i] = total / (known.sum(axis=0) + _PSEUDO)
    return out
