"""What the router asks of an embedder, and the projection into the map's space."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled, reordered
from ..types import Vector


class Embedder(Protocol):
    """Text to unit vectors.

    Attributes
    ----------
    name
        What the settings call it.
    fingerprint
        Changes whenever its vectors may change; names caches.

    Notes
    -----
    One that takes microseconds may say `instant = True`: the service then encodes on its event
    loop. One that waits for a network, or wants its next call before it is done with one, says by
    `parallel` how many calls may be under way. One that gains nothing from batches may say
    `single = True`: every call is of one prompt then.
    """

    name: str

    @property
    def fingerprint(self) -> str:
        """Name of the exact weights, for caches."""
        ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), dimension)."""
        ...


@dataclass(frozen=True, eq=False)
class Projection:
    """Principal components that take an embedding into the map's space.

    Distances between sentence embeddings say little in hundreds of dimensions; a few dozen
    principal components, fitted offline on public prompts (see
    ``simulations/fit_projection.py``), separate topics better and cost less.

    Parameters
    ----------
    mean
        Shape (dimension,).
    components
        Orthonormal rows, shape (map dimension, dimension); in single precision, as they are kept,
        for half the memory to go through.
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float32]

    @property
    def digest(self) -> str:
        """SHA-256 of the numbers, in hex: the projection's name in logs and snapshots."""
        data = self.mean.astype("<f8").tobytes() + self.components.astype("<f8").tobytes()
        return hashlib.sha256(data).hexdigest()

    def first(self, dimensions: int) -> Projection:
        """Return the projection on the first components only."""
        return Projection(self.mean, self.components[:dimensions])

    def apply(self, vector: Vector) -> NDArray[np.float64]:
        """Return the unit vector in the map's space, shape (map dimension,).

        A vector at the very mean has no direction there and stays zero.
        """
        out = np.empty(len(self.components))
        project(self.components, self.mean, vector, out)
        return out


@compiled
def project(
    components: NDArray[np.float32],
    mean: NDArray[np.float64],
    vector: Vector,
    out: NDArray[np.float64],
) -> None:
    """Write a vector in the map's space; see `Projection.apply`."""
    if len(vector) != len(mean):
        raise ValueError("a vector and the projection must have one dimension")
    apart = np.empty(len(mean), np.float32)  # as the components are: twice as many at a time
    for i in range(len(mean)):
        apart[i] = vector[i] - mean[i]
    square = 0.0
    for i in range(len(components)):
        out[i] = _product(components[i], apart)
        square += out[i] * out[i]
    if square > 1e-18:
        for i in range(len(components)):
            out[i] /= np.sqrt(square)


@reordered
def _product(a: NDArray[np.float32], b: NDArray[np.float32]) -> np.float32:
    total = np.float32(0.0)
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@cache
def shipped_projection(embedder: str) -> Projection | None:
    """Return the projection that ships for the embedder of this name, or None."""
    file = resources.files(__package__) / "data" / f"{embedder}-projection.npz"
    if not file.is_file():
        return None
    with resources.as_file(file) as path, np.load(path, allow_pickle=False) as data:
        return Projection(
            mean=data["mean"].astype(np.float64), components=data["components"].astype(np.float32)
        )
