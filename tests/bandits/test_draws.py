"""Random numbers are those of numpy's generator, set to the number of a decision."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from bandit_router.bandits.draws import Draws


def generator(seed: int, number: int, what: str = "") -> np.random.Generator:
    counter = number * 2**64 + zlib.crc32(what.encode()) * 2**128
    return np.random.Generator(np.random.Philox(key=seed, counter=counter))


@pytest.mark.parametrize("seed", [0, 7, 2**64 + 3, 2**128 - 1])
def test_normal_draws_are_numpys(seed: int) -> None:
    draws = Draws(seed)
    for number, size in ((1, 8), (2, 200), (2**63 + 1, 3), (3, 100_000)):  # the tail among them
        for what in ("", "a purpose"):
            expected = generator(seed, number, what).standard_normal(size)
            moments = np.stack([np.zeros(size), np.ones(size)])
            assert (draws.at(number, what).normals(moments) == expected).all()


def test_the_generator_goes_on_after_normal_draws() -> None:
    draws, expected = Draws(1), generator(1, 5)
    middle, one = np.zeros(3), np.ones(3)
    draws.at(5)
    for _ in range(2):
        assert (draws.normals(np.stack([middle, one])) == expected.standard_normal(3)).all()
    assert draws.generator.random() == expected.random()
    assert (draws.normals(np.stack([middle, one])) == expected.standard_normal(3)).all()
