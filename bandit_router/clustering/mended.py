"""CluStream and DenStream as the map uses them: their merges told, their defects mended."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from river.cluster.denstream import DenStreamMicroCluster

from . import saved
from .clustream import CluStream
from .denstream import DenStream
from .matrix import Array, CenterMatrix

Features = dict[int, float]

_REACH = 1.5
"""How many times `epsilon` away from a centre DenStream may still add a prompt."""


class CluStreamSlots(CluStream):
    """CluStream that tells which micro-cluster went into which."""

    _merged: dict[int, Any]

    def learn(self, z: Array) -> None:
        """Learn one vector."""
        self._merged = {}
        self.learn_one(dict(enumerate(z.tolist())))

    def _closest_two(self) -> tuple[int, int]:
        heir, slot = super()._closest_two()
        # The dead one is held here until the next step, so that no new object gets its id().
        self._dead = self.micro_clusters[slot]
        self._merged = {id(self._dead): self.micro_clusters[heir]}
        return heir, slot

    def occupants(self) -> list[Any]:
        """The micro-clusters by slot."""
        return list(self.micro_clusters.values())

    def rows(self) -> Array:
        """Their centres."""
        return self.center_rows

    def weights(self) -> Array:
        """How many prompts each has absorbed."""
        return np.array([float(mc.weight) for mc in self.micro_clusters.values()])

    def taken_over(self) -> dict[int, Any]:
        """See `Slots`."""
        return self._merged

    def state(self) -> dict[str, Any]:
        """Means and variances of every micro-cluster."""
        return saved.clustream(self)

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        saved.load_clustream(self, state)


class MicroCluster(DenStreamMicroCluster):  # type: ignore[misc]
    """DenStream's micro-cluster with the paper's radius.

    River 0.26.1 takes the norm of the squared sums where their sum belongs (river issue 2004),
    which leaves nearly every radius at 0 in many dimensions.
    """

    def calc_radius(self, timestamp: int) -> float:
        """Root mean square distance to the centre."""
        return self._rms(self.N, self.linear_sum, self.squared_sum)

    def radius_with(self, x: Features) -> float:
        """What the radius would be with `x`."""
        linear = {k: v + x[k] for k, v in self.linear_sum.items()}
        squared = {k: v + x[k] * x[k] for k, v in self.squared_sum.items()}
        return self._rms(self.N + 1, linear, squared)

    @staticmethod
    def _rms(n: int, linear: Features, squared: Features) -> float:
        mean_square = sum(squared.values()) / n
        return math.sqrt(max(mean_square - sum(v * v for v in linear.values()) / (n * n), 0.0))


class DenStreamSlots(DenStream):
    """DenStream with correct radii, keys that do not collide, and a bound.

    River 0.26.1 numbers micro-clusters by ``len(dict)``, so a deletion makes the next one
    overwrite a living one (river issue 2006). A heavy micro-cluster would swallow prompts from
    however far, since few hardly change its radius: beyond `_REACH` they open one of their own.
    """

    max_clusters = 1024
    _merged: dict[int, Any]

    def learn(self, z: Array) -> None:
        """Learn one vector."""
        self._merged, self._dead = {}, list[Any]()
        self.learn_one(dict(enumerate(z.tolist())))
        if len(self.p_micro_clusters) + len(self.o_micro_clusters) > self.max_clusters:
            self._merge_closest()

    def _initial_dbscan(self) -> None:
        super()._initial_dbscan()
        for key, found in self.p_micro_clusters.items():
            self.p_micro_clusters[key] = saved.as_kind(MicroCluster, found)

    def _merge(self, point: Features) -> None:
        for clusters in (self.p_micro_clusters, self.o_micro_clusters):
            if not clusters:
                continue
            key = self._get_closest_cluster_key(point, clusters)
            found = clusters[key]
            near = self._distance(found.center, point) <= _REACH * self.epsilon
            if near and found.radius_with(point) <= self.epsilon:
                found.insert(point, self.timestamp)
                if (
                    clusters is self.o_micro_clusters
                    and found.calc_weight(self.timestamp) > self.mu * self.beta
                ):
                    self.p_micro_clusters[key] = clusters.pop(key)
                return
        self.o_micro_clusters[self._n_samples_seen] = MicroCluster(
            x=point, timestamp=self.timestamp, decaying_factor=self.decaying_factor
        )

    def _merge_closest(self) -> None:
        """Merge the closest until a twentieth of the bound is free again."""
        where = [(k, d) for d in (self.p_micro_clusters, self.o_micro_clusters) for k in d]
        rows = self.rows()
        matrix = CenterMatrix(list(range(rows.shape[1])))
        for i, row in enumerate(rows):
            matrix.append(i, row, 1.0, 0.0)
        while matrix.size > max(1, int(0.95 * self.max_clusters)):
            pair = [int(matrix.ids[row]) for row in matrix.closest_pair()]
            (heir_key, heirs), (key, clusters) = (where[i] for i in pair)
            heir, dead = heirs[heir_key], clusters.pop(key)
            heir.merge(dead)
            self._merged[id(dead)] = heir
            self._dead.append(dead)  # held until the next step: no new object gets its id()
            matrix.move_one(matrix.row_of(pair[0]), np.array(_center(heir)))
            matrix.keep(matrix.ids != pair[1])

    def occupants(self) -> list[Any]:
        """Potential micro-clusters, then outliers."""
        return [*self.p_micro_clusters.values(), *self.o_micro_clusters.values()]

    def rows(self) -> Array:
        """Their centres."""
        return np.array([_center(mc) for mc in self.occupants()])

    def weights(self) -> Array:
        """Their faded weights."""
        return np.array([mc.calc_weight(self.timestamp) for mc in self.occupants()])

    def taken_over(self) -> dict[int, Any]:
        """See `Slots`; a heir may have been merged in its turn."""
        out = dict(self._merged)
        for token, heir in out.items():
            while id(heir) in self._merged:
                heir = self._merged[id(heir)]
            out[token] = heir
        return out

    def state(self) -> dict[str, Any]:
        """The sums of every micro-cluster."""
        return saved.denstream(self)

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        saved.load_denstream(self, state, MicroCluster)


def _center(micro: DenStreamMicroCluster) -> list[float]:
    """Return its centre as River computes it, but not through River's cache.

    That is empty where a micro-cluster has changed, which who learns goes by: to look at the map
    must not make it forget.
    """
    inverse = 1.0 / micro.N
    return [value * inverse for value in micro.linear_sum.values()]
