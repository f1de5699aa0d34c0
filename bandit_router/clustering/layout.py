"""Where clusters are drawn: a plane that is updated as the map grows, never drawn anew.

The first drawing starts from the first two principal components and lets t-SNE pull neighbours
together. Every later one starts from the last: who is known stays where it is but for small
steps, who is new appears between its nearest neighbours. So a new cluster does not reshuffle
the picture. Only when the map has half as many clusters again as when it was last pulled into
shape is it pulled anew, from where it is, and turned to lie as it lay. Pure and deterministic;
drawing is for people, no decision reads it.

References
----------
van der Maaten and Hinton (2008), Visualizing data using t-SNE; Venna and Kaski (2001),
Neighborhood preservation in nonlinear projection methods (trustworthiness).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.floating[Any]]
_NEIGHBOURS = 30  # at most, each way
_PERPLEXITY = 10.0
_FIRST, _TIGHT = 400, 120  # steps of the first drawing, those of them that exaggerate
_LARGE = 500  # clusters from which the first drawing takes half as many steps
_LATER = 30  # steps of an update
_DRIFT = 0.03  # how far an update may move a known cluster, of the drawing's radius
_YOUNG = 40.0  # below so many clusters, further in proportion: a map of ten has no shape yet
_GOLDEN = 2.399963  # an angle that spreads points evenly
_KEPT = 4000  # positions held, the dead among them
_OUTGROWN = 1.5

METHOD = "t-SNE of the cluster centres, updated from the last: known clusters keep their place"
"""What the page says of the drawing."""


class Layout:
    """Positions in the plane, by cluster id.

    Attributes
    ----------
    positions
        Of every cluster that was ever placed, also of the dead: the newest 4,000.
    trustworthiness
        How far neighbours in the drawing are neighbours in the map's space, 1 at best; None
        below six clusters, where it says nothing.

    Examples
    --------
    >>> layout = Layout()
    >>> centres = np.eye(4)
    >>> layout.update([1, 2, 3], centres[:3])
    >>> before = dict(layout.positions)
    >>> layout.update([1, 2, 3, 4], centres)
    >>> sorted(layout.positions)
    [1, 2, 3, 4]
    """

    def __init__(self) -> None:
        self.positions: dict[int, tuple[float, float]] = {}
        self.trustworthiness: float | None = None
        self._shaped = 0  # how many clusters there were when it was last pulled into shape

    def update(self, ids: Sequence[int], centres: Points) -> None:
        """Place every cluster of `ids`; `centres` are theirs in the map's space, (n, d)."""
        if not len(ids):
            return
        space = np.asarray(centres, dtype=np.float64)
        squared = _squared(space)
        known = np.array([id_ in self.positions for id_ in ids])
        plane = _components(space) if known.sum() < 3 else self._started(ids, squared, known)
        if len(ids) <= 3:
            pass  # too few to have neighbours
        elif len(ids) > _OUTGROWN * self._shaped:
            before, self._shaped = plane, len(ids)
            short = 2 if len(ids) > _LARGE else 1
            small = plane / (plane.std() or 1.0)
            plane = _descend(small, _affinities(squared), _FIRST // short, _TIGHT // short)
            plane = _turned(plane, before, known if known.sum() >= 3 else ~known)
        else:
            plane = _descend(plane, _affinities(squared), _LATER, 0, known=known)
        for id_, (x, y) in zip(ids, plane.tolist(), strict=True):
            self.positions.pop(id_, None)  # the living are the newest
            self.positions[id_] = (x, y)
        for id_ in list(self.positions)[: max(0, len(self.positions) - max(_KEPT, len(ids)))]:
            del self.positions[id_]
        self.trustworthiness = _trustworthiness(space, plane)

    def points(self) -> dict[str, list[float]]:
        """Return the positions as JSON-able data."""
        return {str(id_): [round(x, 4), round(y, 4)] for id_, (x, y) in self.positions.items()}

    def state(self) -> dict[str, Any]:
        """Return all of it as JSON-able data."""
        return {"shaped": self._shaped, "positions": self.points()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        self._shaped = int(state["shaped"])
        found = state["positions"].items()
        self.positions = {int(id_): (float(x), float(y)) for id_, (x, y) in found}

    def _started(self, ids: Sequence[int], squared: Points, known: NDArray[np.bool_]) -> Points:
        """Known clusters where they were, new ones between their three nearest neighbours."""
        plane = np.zeros((len(ids), 2))
        plane[known] = [self.positions[id_] for id_ in ids if id_ in self.positions]
        spacing = np.sqrt(plane[known].var(axis=0).sum() / known.sum())
        for row in np.flatnonzero(~known):
            near = np.flatnonzero(known)[np.argsort(squared[row, known])[:3]]
            weight = 1.0 / (squared[row, near] + 1e-9)
            angle = _GOLDEN * ids[int(row)]  # apart from others that come at the same place
            aside = 0.3 * spacing * np.array([np.cos(angle), np.sin(angle)])
            plane[row] = weight @ plane[near] / weight.sum() + aside
        return plane


def _squared(points: Points) -> Points:
    norm = (points * points).sum(axis=1)
    out: Points = np.maximum(norm[:, None] + norm[None, :] - 2.0 * points @ points.T, 0.0)
    return out


def _components(space: Points) -> Points:
    """The first two principal components, with a sign that does not depend on the solver."""
    centred = space - space.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2]
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    plane = np.zeros((len(space), 2))
    plane[:, : len(axes)] = centred @ axes.T
    out: Points = plane / (plane.std() or 1.0)
    return out


def _affinities(squared: Points) -> Points:
    """t-SNE's joint probabilities over the nearest neighbours, shape (n, n)."""
    n = len(squared)
    most = min(n - 1, _NEIGHBOURS)
    entropy = np.log(max(1.5, min(_PERPLEXITY, most / 3.0)))
    near = np.argsort(squared + np.diag(np.full(n, np.inf)), axis=1, kind="stable")[:, :most]
    apart = np.take_along_axis(squared, near, axis=1)
    apart = apart - apart[:, :1]  # the nearest at 0: no underflow, the same probabilities
    low, high = np.zeros(n), np.full(n, np.inf)
    sharp = np.ones(n) / (apart.mean(axis=1) + 1e-9)
    for _ in range(40):  # the width of each row's kernel, by bisection
        kernel = np.exp(-apart * sharp[:, None])
        total = kernel.sum(axis=1)
        flat = np.log(total) + sharp * (apart * kernel).sum(axis=1) / total > entropy
        low, high = np.where(flat, sharp, low), np.where(flat, high, sharp)
        sharp = np.where(np.isinf(high), 2.0 * sharp, (low + high) / 2.0)
    joint = np.zeros((n, n))
    np.put_along_axis(joint, near, kernel / total[:, None], axis=1)
    out: Points = (joint + joint.T) / (2.0 * n)
    return out


def _descend(
    plane: Points,
    affinity: Points,
    steps: int,
    tight: int,
    known: NDArray[np.bool_] | None = None,
) -> Points:
    """Follow t-SNE's gradient; clusters that are `known` end within a small distance."""
    start, rate = plane, max(len(plane) / 4.0, 5.0)
    affinity, plane = affinity.astype(np.float32), plane.astype(np.float32)  # twice as quick
    momentum = np.zeros_like(plane)
    gain = np.ones_like(plane)
    for step in range(steps):
        kernel = 1.0 / (1.0 + _squared(plane))
        np.fill_diagonal(kernel, 0.0)
        pull = affinity * (4.0 if step < tight else 1.0) - kernel / max(kernel.sum(), 1e-12)
        force = pull * kernel
        slope = 4.0 * (force.sum(axis=1)[:, None] * plane - force @ plane)
        same = np.sign(slope) == np.sign(momentum)
        gain = np.maximum(np.where(same, gain * 0.8, gain + 0.2), 0.01)
        momentum = (0.5 if step < tight else 0.8) * momentum - rate * gain * slope
        plane = plane + momentum
        plane = plane if known is not None else plane - plane.mean(axis=0)
    if known is None:
        return plane.astype(np.float64)
    reach = _DRIFT * max(1.0, _YOUNG / len(plane)) * np.sqrt(start.var(axis=0).sum())
    moved = plane - start
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    short = np.where(known[:, None], reach, 10.0 * reach) / np.maximum(length, 1e-12)
    out: Points = start + moved * np.minimum(1.0, short)
    return out


def _turned(plane: Points, before: Points, by: NDArray[np.bool_]) -> Points:
    """Turn (and mirror) a drawing so that those chosen `by` lie as before; Schönemann (1966)."""
    middle, old = plane[by].mean(axis=0), before[by].mean(axis=0)
    left, _, right = np.linalg.svd((plane[by] - middle).T @ (before[by] - old))
    out: Points = (plane - middle) @ (left @ right) + old
    return out


def _trustworthiness(space: Points, plane: Points) -> float | None:
    """Trustworthiness over a neighbourhood of twelve, or of what so few clusters allow."""
    near = min(12, (len(space) - 1) // 2)
    if near < 2:
        return None
    from sklearn.manifold import trustworthiness

    return float(trustworthiness(space, plane, n_neighbors=near))
