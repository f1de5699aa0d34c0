"""Normal draws from numbered random bits, as numpy has them, in machine code.

Numpy's own generator takes several microseconds to be set to a number; the draws are the same,
bit for bit.

References
----------
Salmon, Moraes, Dror and Shaw (2011), Parallel random numbers: as easy as 1, 2, 3 (Philox);
Marsaglia and Tsang (2000), The ziggurat method for generating random variables.
"""

from __future__ import annotations

import numpy as np
from numba.np.random._constants import fi_double, ki_double, wi_double
from numpy.typing import NDArray

from ..compiled import compiled

Array = NDArray[np.float64]
Words = NDArray[np.uint64]

_MULTIPLIERS = np.array([0xD2E7470EE14C6C93, 0xCA5A826395121157], np.uint64)
_WEYL = np.array([0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B], np.uint64)
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
_ROUNDS = 10
_LAYER, _BYTE, _ONE = np.uint64(0xFF), np.uint64(8), np.uint64(1)
_MANTISSA, _ELEVEN = np.uint64(0x000FFFFFFFFFFFFF), np.uint64(11)
_TAIL = 3.6541528853610087963519472518  # where the lowest layer of the ziggurat ends
_INVERSE = 0.27366123732975827203338247596  # of it
_PER_BLOCK = 4


@compiled
def normals(key: Words, counter: Words, moments: Array, out: Array) -> None:
    """Write normal draws of these moments.

    They come from the first standard normal draws of
    ``Generator(Philox(key=key, counter=counter))``.

    Parameters
    ----------
    key, counter
        Shape (2,) and (4,).
    moments
        Means and variances, shape (2, draws).
    out
        Shape (draws,).
    """
    block, at = np.empty(_PER_BLOCK, np.uint64), 0
    for i in range(len(out)):
        while True:
            bits, at = _next(key, counter, block, at)
            layer = bits & _LAYER
            bits >>= _BYTE
            negative = bits & _ONE
            bits = (bits >> _ONE) & _MANTISSA
            x = bits * wi_double[layer]
            if negative:
                x = -x
            if bits < ki_double[layer]:
                break
            uniform, at = _uniform(key, counter, block, at)
            if layer == 0:
                x, at = _beyond(key, counter, block, at, uniform, bool((bits >> _BYTE) & _ONE))
                break
            upper, lower = fi_double[layer - _ONE], fi_double[layer]
            if (upper - lower) * uniform + lower < np.exp(-0.5 * x * x):
                break
        out[i] = moments[0, i] + np.sqrt(moments[1, i]) * x


@compiled
def _beyond(
    key: Words, counter: Words, block: Words, at: int, uniform: float, negative: bool
) -> tuple[float, int]:
    """Return a draw from the tail; `uniform` is the first number that it takes."""
    while True:
        x = -_INVERSE * np.log1p(-uniform)
        uniform, at = _uniform(key, counter, block, at)
        y = -np.log1p(-uniform)
        if y + y > x * x:
            return -(_TAIL + x) if negative else _TAIL + x, at
        uniform, at = _uniform(key, counter, block, at)


@compiled
def _uniform(key: Words, counter: Words, block: Words, at: int) -> tuple[float, int]:
    bits, at = _next(key, counter, block, at)
    return (bits >> _ELEVEN) * (1.0 / 9007199254740992.0), at


@compiled
def _next(key: Words, counter: Words, block: Words, at: int) -> tuple[np.uint64, int]:
    """Return the word of number `at`, from a block of four, and the number of the next."""
    if at % _PER_BLOCK == 0:
        _fill(key, counter, np.uint64(at // _PER_BLOCK + 1), block)
    return block[at % _PER_BLOCK], at + 1


@compiled
def _fill(key: Words, counter: Words, blocks: np.uint64, out: Words) -> None:
    """Write the block that is so many after the counter; its lowest word is below 2**63."""
    a, b, c, d = counter[0] + blocks, counter[1], counter[2], counter[3]
    k, m = key[0], key[1]
    for round_ in range(_ROUNDS):
        if round_:
            k, m = k + _WEYL[0], m + _WEYL[1]
        high, low = _product(_MULTIPLIERS[0], a)
        other_high, other_low = _product(_MULTIPLIERS[1], c)
        a, b, c, d = other_high ^ b ^ k, other_low, high ^ d ^ m, low
    out[0], out[1], out[2], out[3] = a, b, c, d


@compiled
def _product(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Return the high and the low word of a product."""
    a_high, a_low, b_high, b_low = a >> _HALF, a & _LOW, b >> _HALF, b & _LOW
    middle = a_high * b_low + ((a_low * b_low) >> _HALF)
    other = a_low * b_high + (middle & _LOW)
    return a_high * b_high + (middle >> _HALF) + (other >> _HALF), a * b
