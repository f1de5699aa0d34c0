"""Random numbers that depend on a seed and the number of a decision alone."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from .belief import Array
from .philox import normals


class Draws:
    """The random numbers of one decision after another, none of which is state.

    A counter-based generator needs no seeding: its counter is the decision's number. Whoever asks
    for normal draws alone gets the generator's own for a fraction of what it takes to set it.

    Parameters
    ----------
    seed
        At least 0.

    Examples
    --------
    >>> draws = Draws(5)
    >>> first = draws.at(1).generator.random()
    >>> draws.at(2).generator.random() == first, draws.at(1).generator.random() == first
    (False, True)
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._bits = np.random.Philox(key=seed % 2**128)
        self._generator = np.random.Generator(self._bits)
        self._start = self._bits.state
        self._key, self._counter = (self._start["state"][name] for name in ("key", "counter"))
        self._purpose = 0  # as the counter has it: to look there takes longer
        self._taken: int | None = 0  # normal draws; None: the generator stands where it should

    def at(self, number: int, what: str = "") -> Draws:
        """Return the numbers of a decision, to be used before the next are asked for.

        Parameters
        ----------
        what
            Names one purpose among several of the same decision.
        """
        self._counter[1], self._taken = number, 0
        if what or self._purpose:
            self._counter[2] = self._purpose = zlib.crc32(what.encode()) if what else 0
        return self

    def normals(self, moments: Array) -> Array:
        """Return a normal draw of each of these means and variances, shape (2, draws)."""
        size = moments.shape[1]
        if self._taken != 0:
            mean, var = moments
            drawn: Array = mean + np.sqrt(var) * self.generator.standard_normal(size)
            return drawn
        self._taken, out = size, np.empty(size)
        normals(self._key, self._counter, moments, out)
        return out

    @property
    def first(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]] | None:
        """Key and counter for machine code that takes the first normal draws, see `passed`.

        None where some have been taken.
        """
        return None if self._taken != 0 else (self._key, self._counter)

    def passed(self, size: int) -> None:
        """Go on after so many normal draws, which were taken by `first`."""
        self._taken = size

    @property
    def generator(self) -> np.random.Generator:
        """Numpy's own, for any other distribution; goes on after the normal draws taken."""
        if self._taken is not None:
            self._bits.state = self._start
            self._generator.standard_normal(self._taken)
            self._taken = None
        return self._generator
