"""Evidence is pooled, conserved and taken back exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_router.bandits.credit import credit
from bandit_router.bandits.posterior import Pooling, Posterior
from bandit_router.codec import decode_state, encode_state

ARMS = ("a", "b", "c")


def posterior(levels: int = 2, **pooling: object) -> Posterior:
    out = Posterior(levels, Pooling(**pooling))  # type: ignore[arg-type]
    for arm in ARMS:
        out.set_arm(arm, None, None)
    return out


observations = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(4, 9),
        st.sampled_from(ARMS),
        st.floats(0, 1),
        st.floats(0.1, 5),
        st.none() | st.floats(1e-6, 1),
    ),
    max_size=60,
)


def feed(model: Posterior, seen: list, sign: float = 1.0) -> None:
    for coarse, fine, arm, reward, weight, cost in seen:
        model.learn((coarse, fine), sign * credit(arm, [(weight, reward)], cost, None).sums, arm)


@given(observations)
def test_every_belief_is_a_belief(seen: list) -> None:
    model = posterior()
    feed(model, seen)
    for path in [(), (1, 4), (0, 0), (3, 9), (77, 78)]:
        belief = model.at(path)
        assert np.isfinite(belief.quality).all()
        assert (belief.quality_var > 0).all()
        assert (belief.quality_var <= 1).all()
        assert (belief.quality > -0.5).all()
        assert (belief.quality < 1.5).all()


@given(observations, observations)
def test_taking_back_is_exact(kept: list, taken: list) -> None:
    model, other = posterior(), posterior()
    feed(model, kept)
    feed(model, taken)
    feed(model, taken, -1.0)
    feed(other, kept)
    assert np.allclose(model.total, other.total, atol=1e-9)
    for level, id_ in [(0, 1), (1, 4), (1, 9)]:
        assert np.allclose(model.evidence(level, id_), other.evidence(level, id_), atol=1e-9)


@given(observations)
def test_merging_clusters_adds_their_evidence(seen: list) -> None:
    model = posterior()
    feed(model, seen)
    before = model.evidence(1, 4) + model.evidence(1, 5)
    model.merge(1, 4, heir=5)
    assert np.allclose(model.evidence(1, 5), before)
    assert not model.evidence(1, 4).any()


@given(observations)
def test_evidence_is_in_exactly_one_cluster_of_a_level(seen: list) -> None:
    model = posterior()
    feed(model, seen)
    leaves = sum(model.evidence(1, id_) for id_ in range(4, 10))
    assert np.allclose(leaves, model.total)


@given(observations)
def test_the_state_survives_the_codec(seen: list) -> None:
    model = posterior()
    feed(model, seen)
    data = encode_state(model.state())
    other = Posterior(2)
    other.load(decode_state(data))
    assert encode_state(other.state()) == data
    assert (other.at((1, 4)).quality == model.at((1, 4)).quality).all()


def test_a_hard_cluster_lowers_every_arm_and_keeps_their_order() -> None:
    model = posterior(levels=1)
    for _ in range(300):
        for arm, reward in zip(ARMS, (0.9, 0.8, 0.7), strict=True):
            model.learn((1,), credit(arm, [(1.0, reward)], None, None).sums, arm)
    for _ in range(30):  # only the best arm is tried where all are bad
        model.learn((2,), credit("a", [(1.0, 0.1)], None, None).sums, "a")
    belief = model.at((2,)).quality
    assert belief.argmax() == 0 or belief[1] - belief[0] < 0.45
    assert (belief < model.at((1,)).quality - 0.1).all()


def test_an_interaction_is_learnt_where_it_is_there() -> None:
    model = posterior(levels=1)
    rng = np.random.default_rng(0)
    for _ in range(600):
        cluster = int(rng.integers(1, 3))
        for arm in ARMS:
            good = {"a": cluster == 1, "b": cluster == 2, "c": False}[arm]
            reward = float(rng.random() < (0.9 if good else 0.3))
            model.learn((cluster,), credit(arm, [(1.0, reward)], None, None).sums, arm)
    assert model.at((1,)).quality.argmax() == 0
    assert model.at((2,)).quality.argmax() == 1
    assert model.at((1,)).quality == pytest.approx([0.9, 0.3, 0.3], abs=0.08)


def test_a_prior_counts_until_there_is_evidence() -> None:
    model = Posterior(0)
    model.set_arm("a", 0.9, None)
    assert model.at(()).quality[0] == pytest.approx(0.9)
    for _ in range(100):
        model.learn((), credit("a", [(1.0, 0.2)], None, None).sums, "a")
    assert model.at(()).quality[0] == pytest.approx(0.2, abs=0.01)


def test_costs_scale_with_the_place_for_all_arms() -> None:
    model = posterior(levels=1)
    for _ in range(100):
        for arm, cost in zip(ARMS, (1.0, 2.0, 4.0), strict=True):
            model.learn((1,), credit(arm, [], cost, None).sums, arm)
            if arm != "c":
                model.learn((2,), credit(arm, [], 10 * cost, None).sums, arm)
    cost = model.at((2,)).cost
    assert cost[:2] == pytest.approx([10, 20], rel=0.1)
    assert cost[2] > 1.5 * 4.0  # never seen there, but everything is dearer there


def test_unknown_costs_are_unknown_until_listed() -> None:
    model = Posterior(0)
    model.set_arm("a", None, None)
    assert np.isnan(model.at(()).cost[0])
    model.set_arm("a", None, 0.01)
    assert model.at(()).cost[0] == 0.01


def test_flat_pooling_gives_independent_beta_posteriors() -> None:
    model = posterior(levels=1, flat=True)
    model.learn((1,), credit("a", [(1.0, 1.0)], None, None).sums, "a")
    assert model.at((1,)).beta is not None
    assert model.at((1,)).beta[:, 0].tolist() == [2.0, 1.0]  # type: ignore[index]
    assert model.at((2,)).beta[:, 0].tolist() == [1.0, 1.0]  # type: ignore[index]


def test_a_new_list_price_scales_what_was_billed() -> None:
    model = Posterior(1)
    model.set_arm("a", None, 0.01)
    for _ in range(50):
        model.learn((1,), credit("a", [], 0.02, None).sums, "a")
    model.set_arm("a", None, 0.1)
    assert model.at((1,)).cost[0] == pytest.approx(0.2)


def test_a_moved_arm_is_believed_elsewhere_and_is_uncertain() -> None:
    model = posterior(levels=1)
    for _ in range(500):
        model.learn((1,), credit("a", [(1.0, 0.8)], None, None).sums, "a")
    before = model.at((1,))
    model.moved("a", -0.4, keep=30.0)
    after = model.at((1,))
    assert after.quality[0] == pytest.approx(before.quality[0] - 0.4, abs=0.08)
    assert after.quality_var[0] > before.quality_var[0]
    assert model.total[0] == pytest.approx(30.0)
