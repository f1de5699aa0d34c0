"""The drawing of the map: stable, faithful, the same every time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit_router.clustering.layout import Layout


def topics(count: int, each: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.normal(size=(count, 24)), each, axis=0)
    points = centres + 0.3 * rng.normal(size=(count * each, 24))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def positions(layout: Layout, ids: list[int]) -> np.ndarray:
    return np.array([layout.positions[id_] for id_ in ids])


def test_neighbours_stay_neighbours():
    points, ids = topics(8, 10), list(range(1, 81))
    layout = Layout()
    layout.update(ids, points)
    assert layout.trustworthiness > 0.9
    drawn = positions(layout, ids).reshape(8, 10, 2)
    middles = drawn.mean(axis=1)
    within = np.linalg.norm(drawn - middles[:, None], axis=2).mean()
    apart = np.linalg.norm(middles[:, None] - middles[None], axis=2)[~np.eye(8, dtype=bool)].mean()
    assert within < apart / 3


def test_a_new_cluster_does_not_reshuffle_the_map():
    points, ids = topics(6, 10), list(range(1, 61))
    layout = Layout()
    layout.update(ids[:59], points[:59])
    before = positions(layout, ids[:59])
    layout.update(ids, points)
    after = positions(layout, ids[:59])
    radius = np.sqrt(before.var(axis=0).sum())
    assert np.linalg.norm(after - before, axis=1).max() <= 0.031 * radius
    newcomer, kin = positions(layout, [60])[0], after[50:59]
    assert np.linalg.norm(newcomer - kin.mean(axis=0)) < radius


def test_a_map_that_has_outgrown_its_drawing_is_pulled_into_shape_and_lies_as_it_lay():
    points = topics(6, 10, seed=1)
    order = np.random.default_rng(0).permutation(60)
    layout = Layout()
    layout.update((order[:30] + 1).tolist(), points[order[:30]])
    before = positions(layout, (order[:30] + 1).tolist())
    layout.update((order + 1).tolist(), points[order])
    after = positions(layout, (order[:30] + 1).tolist())
    assert layout.trustworthiness > 0.85
    lined_up = np.corrcoef((before - before.mean(0)).ravel(), (after - after.mean(0)).ravel())[0, 1]
    assert lined_up > 0.5


def test_grown_one_by_one_it_is_about_as_faithful_as_drawn_at_once():
    points = topics(6, 10, seed=2)
    order = np.random.default_rng(1).permutation(60)
    grown, at_once = Layout(), Layout()
    for n in range(3, 61, 3):
        grown.update((order[:n] + 1).tolist(), points[order[:n]])
    at_once.update((order + 1).tolist(), points[order])
    assert grown.trustworthiness > at_once.trustworthiness - 0.1


def test_the_same_every_time_and_over_a_restart():
    points, ids = topics(4, 5), list(range(1, 21))
    one, two = Layout(), Layout()
    for layout in (one, two):
        layout.update(ids, points)
    assert one.positions == two.positions
    again = Layout()
    again.load(one.state())
    assert positions(again, ids) == pytest.approx(positions(one, ids), abs=1e-3)


@given(n=st.integers(1, 12), d=st.integers(1, 4), same=st.booleans())
@settings(max_examples=25, deadline=None)
def test_any_map_can_be_drawn(n, d, same):
    points = np.random.default_rng(n).normal(size=(n, d))
    if same:
        points[:] = points[0]
    layout = Layout()
    for upto in (max(1, n // 2), n, n):
        layout.update(list(range(1, upto + 1)), points[:upto])
    assert np.isfinite(positions(layout, list(range(1, n + 1)))).all()


def test_nothing_to_draw():
    layout = Layout()
    layout.update([], np.zeros((0, 2)))
    assert layout.positions == {}
    assert layout.trustworthiness is None
