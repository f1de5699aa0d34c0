"""River's other clusterers as levels of the map.

KMeans, CluStream and DenStream keep their clusters in slots that they overwrite, renumber or
collide. Here a cluster is the *object* in a slot: when another object takes the slot, the
first one has died and the second is born, under an id that was never used before.

Before anything is learnt a prompt belongs to no cluster of these levels; the map then uses
the coarser level, and above that the whole map.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from river import cluster
from river.base import Clusterer
from river.cluster.denstream import DenStreamMicroCluster

from ..exceptions import ConfigError
from .level import NewId, Turnover
from .matrix import Array, Rows

DEFAULTS: dict[str, dict[str, Any]] = {
    # River's KMeans starts its centres far from the unit sphere: the first winner would take all.
    "kmeans": {"n_clusters": 32, "halflife": 0.05, "sigma": 0.01, "seed": 0},
    "clustream": {"max_micro_clusters": 64, "time_window": 20_000, "time_gap": 10**9, "seed": 0},
    "denstream": {
        "epsilon": 0.65,
        "decaying_factor": 0.001,
        "mu": 3,
        "beta": 0.5,
        "n_samples_init": 1,
    },
}
"""Constructor arguments that suit unit vectors of a few dozen dimensions."""

CLASSES: dict[str, type[Clusterer]] = {
    "kmeans": cluster.KMeans,
    "clustream": cluster.CluStream,
}


class _MicroCluster(DenStreamMicroCluster):  # type: ignore[misc]
    """DenStream's micro-cluster with the paper's radius.

    River 0.26.1 takes the norm of the squared sums where their sum belongs (river issue 2004),
    which leaves nearly every radius at 0 in many dimensions.
    """

    def calc_radius(self, timestamp: int) -> float:
        return self._rms(self.N, self.linear_sum, self.squared_sum)

    def radius_with(self, x: dict[int, float]) -> float:
        linear = {k: v + x[k] for k, v in self.linear_sum.items()}
        squared = {k: v + x[k] * x[k] for k, v in self.squared_sum.items()}
        return self._rms(self.N + 1, linear, squared)

    @staticmethod
    def _rms(n: int, linear: dict[int, float], squared: dict[int, float]) -> float:
        mean_square = sum(squared.values()) / n
        return math.sqrt(max(mean_square - sum(v * v for v in linear.values()) / (n * n), 0.0))


class DenStream(cluster.DenStream):  # type: ignore[misc]
    """`river.cluster.DenStream` with correct radii and keys that do not collide.

    River 0.26.1 numbers micro-clusters by ``len(dict)``, so a deletion makes the next one
    overwrite a living one (river issue 2006).
    """

    def _merge(self, point: dict[int, float]) -> None:
        for clusters in (self.p_micro_clusters, self.o_micro_clusters):
            if not clusters:
                continue
            key = self._get_closest_cluster_key(point, clusters)
            found = clusters[key]
            if found.radius_with(point) <= self.epsilon:
                found.insert(point, self.timestamp)
                if (
                    clusters is self.o_micro_clusters
                    and found.calc_weight(self.timestamp) > self.mu * self.beta
                ):
                    self.p_micro_clusters[key] = clusters.pop(key)
                return
        self.o_micro_clusters[self._n_samples_seen] = _MicroCluster(
            x=point, timestamp=self.timestamp, decaying_factor=self.decaying_factor
        )


CLASSES["denstream"] = DenStream


class SlotLevel:
    """A River clusterer with slots, as a level of the map.

    Parameters
    ----------
    name
        ``kmeans``, ``clustream`` or ``denstream``.
    params
        Constructor arguments over `DEFAULTS`.

    Raises
    ------
    ConfigError
        If River's class does not take one of the arguments, or refuses a value.
    """

    grows = False
    restorable = False

    def __init__(self, name: str, params: dict[str, Any]) -> None:
        self.name = name
        known = inspect.signature(CLASSES[name]).parameters
        for key in params:
            if key not in known:
                names = ", ".join(k for k in known if k != "kwargs")
                where = f"clusterer.params.{key}"
                raise ConfigError(
                    f"{where}: {name} takes no such argument; it takes {names}", where
                )
        try:
            self.model = CLASSES[name](**{**DEFAULTS[name], **params})
        except (TypeError, ValueError, ZeroDivisionError) as error:
            raise ConfigError(f"clusterer.params: {name}: {error}", "clusterer.params") from None
        self._alive: list[tuple[int, object, float]] = []  # id, occupant, weight; by id
        self._centers: Array | None = None

    def locate(self, z: Array) -> int | None:
        """Return the cluster with the nearest centre."""
        if not self._alive:
            return None
        ids, centers, _ = self.view()
        return int(ids[int(((centers - z) ** 2).sum(axis=1).argmin())])

    def learn(self, z: Array, new_id: NewId) -> Turnover:
        """Learn one vector; see `Level`."""
        self.model.learn_one(dict(enumerate(z.tolist())))
        now = {id(occupant): (occupant, weight) for occupant, weight in self._occupants()}
        kept = [(i, o, now.pop(id(o))[1], w) for i, o, w in self._alive if id(o) in now]
        dead = [(i, w) for i, o, w in self._alive if all(o is not k[1] for k in kept)]
        turnover = Turnover()
        for i, weight in dead:
            heir = next((k[0] for k in kept if k[2] > k[3] and k[2] >= k[3] + weight), None)
            if heir is None:
                turnover.faded.append(i)
            else:
                turnover.merged.append((i, heir))
        self._alive = [(i, o, w) for i, o, w, _ in kept]
        for occupant, weight in now.values():
            turnover.born.append(new_id())
            self._alive.append((turnover.born[-1], occupant, weight))
        self._centers = None
        return turnover

    def view(self) -> tuple[Rows, Array, Array]:
        """Ids, centres and weights."""
        if self._centers is None:
            self._centers = np.array([self._center(occupant) for _, occupant, _ in self._alive])
        ids = np.array([i for i, _, _ in self._alive], dtype=np.int64)
        return ids, self._centers, np.array([w for _, _, w in self._alive])

    def state(self) -> dict[str, Any]:
        """Return ids, centres and weights: enough to compare two folds, not to go on from."""
        ids, centers, weights = self.view()
        return {"ids": ids, "centers": centers, "weights": weights}

    def load(self, state: dict[str, Any]) -> None:
        """Refuse: see `restorable`."""
        raise NotImplementedError(f"{self.name} starts from the whole log")

    def _occupants(self) -> Iterable[tuple[object, float]]:
        model = self.model
        if self.name == "kmeans":
            return [(center, 1.0) for center in model.centers.values()]
        if self.name == "clustream":
            return [(mc, float(mc.weight)) for mc in model.micro_clusters.values()]
        both = [*model.p_micro_clusters.values(), *model.o_micro_clusters.values()]
        return [(mc, mc.calc_weight(model.timestamp)) for mc in both]

    def _center(self, occupant: Any) -> list[float]:
        center = occupant if self.name == "kmeans" else occupant.center
        return [center[feature] for feature in range(len(center))]
