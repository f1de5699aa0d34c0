"""Arrays that machine code is handed as one are the arrays that they were."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_router.compiled import compiled
from bandit_router.handed import Handed, cube, line, table

KINDS = (np.float64, np.float32, np.int64, np.bool_)
READ = (line, table, cube)


@compiled
def doubled(words: np.ndarray) -> float:
    numbers = line(words, 0, np.float64)
    for i in range(len(numbers)):
        numbers[i] *= 2.0
    return numbers.sum()  # type: ignore[no-any-return]


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.lists(st.integers(0, 4), min_size=1, max_size=3)),
        min_size=1,
        max_size=6,
    )
)
def test_each_is_found_by_its_number(wanted: list[tuple[int, list[int]]]) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 99, shape).astype(KINDS[kind]) for kind, shape in wanted]
    handed = Handed(arrays, [array.dtype.type for array in arrays])
    for number, array in enumerate(arrays):
        found = READ[array.ndim - 1](handed.words, number, array.dtype.type)
        assert found.dtype == array.dtype
        assert np.array_equal(found, array)


def test_they_live_as_long_as_the_words() -> None:
    words, array = handed_over()
    gc.collect()
    assert doubled(words) == 12.0
    found = array()
    assert found is not None
    assert found.tolist() == [0.0, 2.0, 4.0, 6.0]
    del words, found
    gc.collect()
    assert array() is None


def handed_over() -> tuple[np.ndarray, weakref.ref[np.ndarray]]:
    array = np.arange(4.0)
    return Handed((array,), (np.float64,)).words, weakref.ref(array)


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))],  # noqa: S301
)
def test_a_copy_is_of_arrays_of_its_own(copied: object) -> None:
    array = np.arange(4.0)
    owner = {"array": array, "handed": Handed((array,), (np.float64,))}
    other = copied(owner)  # type: ignore[operator]
    doubled(other["handed"].words)
    assert array.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert other["array"].tolist() == [0.0, 2.0, 4.0, 6.0]  # its owner's, if that is copied too


@pytest.mark.parametrize("array", [np.ones((4, 4)).T[1:], np.ones(8)[::2], np.ones((1,) * 4)])
def test_what_no_words_could_tell_is_refused(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="contiguous"):
        Handed((array,), (np.float64,))


def test_what_machine_code_would_take_for_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="takes float64, not int64"):
        Handed((np.arange(3),), (np.float64,))
    with pytest.raises(ValueError, match="shorter"):
        Handed((np.arange(3.0),), ())
