"""River's other clusterers as levels of the map.

KMeans, STREAMKMeans, CluStream and DenStream keep their clusters in slots that they overwrite,
renumber or collide. Here a cluster is the *occupant* of a slot: when another takes the slot, the
first one has died and the second is born, under an id that was never used before.

Before anything is learnt a prompt belongs to no cluster of these levels; the map then uses
the coarser level, and above that the whole map.
"""

from __future__ import annotations

import inspect
from typing import Any, Protocol

import numpy as np

from ..exceptions import ConfigError
from . import mended, saved
from .kmeans import KMeans, STREAMKMeans
from .level import NewId, Turnover
from .matrix import Array, Rows

DEFAULTS: dict[str, dict[str, Any]] = {
    # River's KMeans starts its centres far from the unit sphere: the first winner would take all.
    "kmeans": {"n_clusters": 32, "halflife": 0.05, "sigma": 0.05, "seed": 0},
    "streamkmeans": {
        "chunk_size": 200,
        "n_clusters": 32,
        "halflife": 0.2,
        "sigma": 0.01,
        "seed": 0,
    },
    # Its radius is a mean over coordinates, of a few dozen: with River's factor of 2 hardly a
    # prompt fits, and everything is merged with everything.
    "clustream": {
        "max_micro_clusters": 200,
        "micro_cluster_r_factor": 10,
        "time_window": 20_000,
        "time_gap": 10**9,
        "seed": 0,
    },
    "denstream": {
        "epsilon": 0.75,
        "decaying_factor": 0.001,
        "mu": 3,
        "beta": 0.5,
        "n_samples_init": 1,
    },
}
"""Constructor arguments that suit unit vectors of a few dozen dimensions.

From ``simulations/clusterers.py``; its results are in ``simulations/results/clusterers.md``.
"""

SIZES = {
    "kmeans": "n_clusters",
    "streamkmeans": "n_clusters",
    "clustream": "max_micro_clusters",
}
"""The argument that says how many clusters there are at most."""


class Slots(Protocol):
    """What a level asks of a clusterer with slots."""

    def learn(self, z: Array) -> None:
        """Learn one vector."""
        ...

    def occupants(self) -> list[Any]:
        """The live clusters, each an object of its own for as long as it lives."""
        ...

    def rows(self) -> Array:
        """Their centres, in the same order."""
        ...

    def weights(self) -> Array:
        """Their weights, in the same order."""
        ...

    def taken_over(self) -> dict[int, Any]:
        """By ``id()`` of an occupant that the last step merged: the one that it went into."""
        ...

    def state(self) -> dict[str, Any]:
        """Arrays and numbers to go on from."""
        ...

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        ...


class SlotLevel:
    """A River clusterer with slots, as a level of the map.

    Parameters
    ----------
    name
        ``kmeans``, ``streamkmeans``, ``clustream`` or ``denstream``.
    params
        Constructor arguments over `DEFAULTS`.
    max_clusters
        Bound on live clusters.
    slots
        A clusterer to use instead; `params` and `max_clusters` then say nothing.

    Raises
    ------
    ConfigError
        If River's class does not take one of the arguments, or refuses a value.
    """

    grows = False
    radius = np.inf
    restorable = True
    steady = False

    def __init__(
        self,
        name: str,
        params: dict[str, Any],
        max_clusters: int = 1024,
        slots: Slots | None = None,
    ) -> None:
        self.name = name
        self.slots = slots or _slots(name, params, max_clusters)
        self._ids: list[int] = []
        self._alive: list[Any] = []  # the occupants of those ids
        self._view: tuple[Rows, Array] | None = None

    def locate(self, z: Array) -> int | None:
        """Return the cluster with the nearest centre."""
        if not self._ids:
            return None
        ids, centers = self._sorted()
        apart = centers - z
        return int(ids[int(np.vecdot(apart, apart).argmin())])

    def holder(self, z: Array) -> int | None:
        """Return the cluster with the nearest centre."""
        return self.locate(z)

    def closest(self, z: Array) -> int | None:
        """Return the cluster with the nearest centre."""
        return self.locate(z)

    def live(self) -> tuple[Rows, Array]:
        """Ids, ascending, and centres; see `Level`."""
        return self._sorted() if self._ids else (np.zeros(0, np.int64), np.zeros((0, 0)))

    def center(self, id_: int, default: Array) -> Array:
        """Return the centre of a cluster; see `Level`."""
        ids, centers = self._sorted()
        row = int(ids.searchsorted(id_))
        return centers[row] if row < len(ids) and ids[row] == id_ else default

    def learn(self, z: Array, new_id: NewId, time: float = 0.0) -> Turnover | None:
        """Learn one vector; see `Level`."""
        self.slots.learn(z)
        self._view = None
        now = self.slots.occupants()
        if len(now) == len(self._alive) and all(map(_same, now, self._alive)):
            return None
        turnover = Turnover()
        known = dict(zip(map(id, self._alive), self._ids, strict=True))
        ids = [known.pop(id(occupant), None) for occupant in now]
        ids_now = [new_id() if i is None else i for i in ids]
        turnover.born = [i for i, old in zip(ids_now, ids, strict=True) if old is None]
        by_occupant = dict(zip(map(id, now), ids_now, strict=True))
        heirs = self.slots.taken_over()
        for token, i in known.items():
            heir = by_occupant.get(id(heirs[token])) if token in heirs else None
            if heir is None:
                turnover.faded.append(i)
            else:
                turnover.merged.append((i, heir))
        self._ids, self._alive = ids_now, now
        return turnover

    def view(self) -> tuple[Rows, Array, Array]:
        """Ids, centres and weights."""
        ids, centers = self._sorted()
        return ids, centers, self.slots.weights()[np.argsort(self._ids)]

    def state(self) -> dict[str, Any]:
        """Return ids, and what the clusterer needs to go on."""
        return {"ids": np.array(self._ids, dtype=np.int64), "slots": self.slots.state()}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.slots.load(state["slots"])
        self._ids, self._alive = state["ids"].tolist(), self.slots.occupants()
        self._view = None

    def _sorted(self) -> tuple[Rows, Array]:
        if self._view is None:
            ids = np.array(self._ids, dtype=np.int64)
            order = np.argsort(ids)
            self._view = ids[order], self.slots.rows()[order]
        return self._view


def _same(a: Any, b: Any) -> bool:
    return a is b


class MeansSlots:
    """KMeans or STREAMKMeans: a slot keeps its occupant for life."""

    def __init__(self, model: KMeans | STREAMKMeans) -> None:
        self.model = model
        self._tokens = [object() for _ in range(model.n_clusters)]

    def learn(self, z: Array) -> None:
        """Learn one vector."""
        self.model.learn_one(dict(enumerate(z.tolist())))

    def occupants(self) -> list[Any]:
        """One object a slot, as soon as centres have been drawn."""
        return self._tokens if len(self.model.center_rows) else []

    def rows(self) -> Array:
        """Centres by slot."""
        return self.model.center_rows

    def weights(self) -> Array:
        """River counts none: 1 each."""
        return np.ones(len(self.model.center_rows))

    def taken_over(self) -> dict[int, Any]:
        """No slot is merged."""
        return {}

    def state(self) -> dict[str, Any]:
        """Centres, and the chunk in hand."""
        return saved.means(self.model)

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        saved.load_means(self.model, state)


def _slots(name: str, params: dict[str, Any], max_clusters: int) -> Slots:
    made: dict[str, Any] = {
        "kmeans": KMeans,
        "streamkmeans": STREAMKMeans,
        "clustream": mended.CluStreamSlots,
        "denstream": mended.DenStreamSlots,
    }
    class_ = made[name]
    _check_names(name, params)
    arguments = {**DEFAULTS[name], **params}
    if name in SIZES:
        where = f"clusterer.params.{SIZES[name]}"
        if SIZES[name] not in params:
            arguments[SIZES[name]] = min(arguments[SIZES[name]], max_clusters)
        elif not isinstance(arguments[SIZES[name]], int) or arguments[SIZES[name]] < 1:
            raise ConfigError(f"{where}: must be a whole number of at least 1", where)
        elif arguments[SIZES[name]] > max_clusters:
            raise ConfigError(f"{where}: above clusterer.max_clusters, {max_clusters}", where)
    try:
        model = class_(**arguments)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise ConfigError(f"clusterer.params: {name}: {error}", "clusterer.params") from None
    if name == "denstream":
        model.max_clusters = max_clusters
    found: Slots = MeansSlots(model) if name in ("kmeans", "streamkmeans") else model
    return found


def _check_names(name: str, params: dict[str, Any]) -> None:
    known = [k for k in _arguments(name) if k not in ("self", "kwargs")]
    for key in params:
        if key not in known:
            where = f"clusterer.params.{key}"
            raise ConfigError(
                f"{where}: {name} takes no such argument; it takes {', '.join(known)}", where
            )


def _arguments(name: str) -> list[str]:
    from . import CluStream, DenStream

    of_kmeans = list(inspect.signature(KMeans).parameters)
    if name == "streamkmeans":
        return ["chunk_size", *of_kmeans]
    classes = {"kmeans": KMeans, "clustream": CluStream, "denstream": DenStream}
    return list(inspect.signature(classes[name]).parameters)
