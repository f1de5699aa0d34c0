"""Arrays that machine code is handed as one: each by itself takes a twentieth of a microsecond."""

# mypy: allow-untyped-calls
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numba.np.numpy_support import carray
from numpy.typing import NDArray

from .compiled import compiled

_WORDS = 4
"""Of each array: where it lies in memory, and up to three dimensions."""


class _Words(bytearray):
    """The memory of the words: whoever holds them holds the arrays."""

    arrays: tuple[NDArray[Any], ...]


class Handed:
    """Some arrays, and words that say where they lie; they live as long as the words do.

    Machine code gets the words, and has the arrays of them by `line`, `table` and `cube`. Whoever
    puts another array in the place of one has to hand over all anew: until then the one before it
    is read and written.

    Parameters
    ----------
    arrays
        Contiguous, of up to three dimensions.
    kinds
        The type of each, as machine code takes it.

    Raises
    ------
    ValueError
        If one is otherwise.

    Examples
    --------
    >>> handed = Handed((np.arange(3), np.ones((2, 5))), (np.int64, np.float64))
    >>> float(table(handed.words, 1, np.float64).sum())
    10.0
    """

    __slots__ = ("arrays", "kinds", "words")

    def __init__(self, arrays: Sequence[NDArray[Any]], kinds: Sequence[type[np.generic]]) -> None:
        self.arrays, self.kinds = tuple(arrays), kinds
        words = np.zeros((len(arrays), _WORDS), np.int64)
        for row, array, kind in zip(words, arrays, kinds, strict=True):
            if not array.flags.c_contiguous or array.ndim >= _WORDS:
                raise ValueError("only contiguous arrays of up to three dimensions are handed over")
            if array.dtype != kind:
                raise ValueError(f"machine code takes {kind.__name__}, not {array.dtype}")
            row[: array.ndim + 1] = array.__array_interface__["data"][0], *array.shape
        memory = _Words(words.tobytes())
        memory.arrays = self.arrays
        self.words = np.frombuffer(memory, np.int64)

    def __reduce__(self) -> tuple[Any, ...]:
        """Of a copy the words say where its own arrays lie."""
        return Handed, (self.arrays, self.kinds)


def _address(_: Any, word: Any) -> Any:
    def code(context: Any, builder: Any, __: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(word), code


_lies: Any = intrinsic(_address)


@compiled
def line(words: NDArray[np.int64], number: int, kind: Any) -> Any:
    """Return an array of one dimension and of this type: the so manyth that was handed over."""
    at = number * _WORDS
    return carray(_lies(words[at]), (words[at + 1],), kind)


@compiled
def table(words: NDArray[np.int64], number: int, kind: Any) -> Any:
    """Return one of two dimensions; see `line`."""
    at = number * _WORDS
    return carray(_lies(words[at]), (words[at + 1], words[at + 2]), kind)


@compiled
def cube(words: NDArray[np.int64], number: int, kind: Any) -> Any:
    """Return one of three dimensions; see `line`."""
    at = number * _WORDS
    return carray(_lies(words[at]), (words[at + 1], words[at + 2], words[at + 3]), kind)
