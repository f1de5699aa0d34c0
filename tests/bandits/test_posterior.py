"""Evidence is pooled, conserved and taken back exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_router.bandits.belief import Belief, compose
from bandit_router.bandits.credit import Credit, credit
from bandit_router.bandits.posterior import Pooling, Posterior
from bandit_router.bandits.thompson import propensities
from bandit_router.clustering import Surroundings
from bandit_router.codec import decode_state, encode_state
from bandit_router.types import Utility

ARMS = ("a", "b", "c")


def posterior(levels: int = 2, **pooling: object) -> Posterior:
    out = Posterior(levels, Pooling(**pooling))  # type: ignore[arg-type]
    for arm in ARMS:
        out.set_arm(arm, None, None)
    return out


def learn(
    model: Posterior, path: tuple, seen: Credit, arm: str, sign: float = 1.0, z: tuple = (0.6, 0.8)
) -> None:
    model.learn(
        Surroundings.inside(path, np.array(z)), path, tuple(sign * x for x in seen.sums), arm
    )


def at(model: Posterior, path: tuple, z: tuple = (0.6, 0.8)) -> Belief:
    return model.at(Surroundings.inside(path or (0,) * model._levels, np.array(z)))


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
        learn(model, (coarse, fine), credit(arm, [(weight, reward)], cost, None), arm, sign)


@given(observations)
def test_every_belief_is_a_belief(seen: list) -> None:
    model = posterior()
    feed(model, seen)
    for path in [(), (1, 4), (0, 0), (3, 9), (77, 78)]:
        belief = at(model, path)
        assert np.isfinite(belief.quality).all()
        assert (belief.quality_var > 0).all()
        assert (belief.quality_var <= 1).all()
        assert (belief.quality > -0.5).all()
        assert (belief.quality < 1.5).all()


steps = st.lists(
    st.one_of(
        st.lists(st.integers(4, 60), min_size=1, max_size=20),  # lessons in these clusters
        st.integers(0, 3).map("d{}".format),  # an arm more, or one again
        st.tuples(st.integers(0, 60), st.integers(0, 200)),  # a merge
        st.sampled_from(["tuned", "loaded", "moved", "wider", "narrower", "taken back"]),
    ),
    max_size=12,
)


@given(steps)
def test_machine_code_sees_what_is_held_now_whatever_happened(done: list) -> None:
    model, z = posterior(), (0.6, 0.8)
    for step in done:
        if isinstance(step, list):
            for fine in step:
                learn(model, (1, fine), credit("a", [(1.0, 0.5)], 1e-3, None), "a", z=z)
        elif isinstance(step, tuple):
            model.merge(*step)
        elif step == "tuned":
            model.tune(Pooling(strength=5.0))
        elif step == "loaded":
            model.load(decode_state(encode_state(model.state())))
        elif step == "moved":
            model.moved("a", 0.1, keep=1.0)
        elif step == "wider":
            z = (*z, 0.0)
        elif step == "narrower":
            z = ()
        elif step == "taken back":  # where it was not said: more than is held there
            learn(model, (1, 4), credit("a", [(1.0, 0.5)], None, None), "a", -1.0, (*z, 9.0))
        else:
            model.set_arm(step, 0.5, 1e-3)
        at(model, (1, 4), z)
        cells, held = model._cells, model._adjusted.held
        now = (model._arms, held, cells.sums, cells.places, cells.row_of, model._pools)
        assert model._handed is not None
        seen = model._handed.arrays
        assert all(a is b for a, b in zip(seen, (*now, model._tuning), strict=True))


@given(observations, observations)
def test_taking_back_is_exact(kept: list, taken: list) -> None:
    model, other = posterior(), posterior()
    feed(model, kept)
    feed(model, taken)
    feed(model, taken, -1.0)
    feed(other, kept)
    assert np.allclose(model.total, other.total, atol=1e-9)
    for id_ in (1, 4, 9):
        assert np.allclose(model.evidence(id_), other.evidence(id_), atol=1e-9)


@given(observations)
def test_merging_clusters_adds_their_evidence(seen: list) -> None:
    model = posterior()
    feed(model, seen)
    before = model.evidence(4) + model.evidence(5)
    model.merge(4, heir=5)
    assert np.allclose(model.evidence(5), before)
    assert not model.evidence(4).any()


@given(observations)
def test_evidence_is_in_exactly_one_cluster_of_a_level(seen: list) -> None:
    model = posterior()
    feed(model, seen)
    leaves = sum(model.evidence(id_) for id_ in range(4, 10))
    assert np.allclose(leaves, model.total)


@given(observations)
def test_the_state_survives_the_codec(seen: list) -> None:
    model = posterior()
    feed(model, seen)
    data = encode_state(model.state())
    other = Posterior(2)
    other.load(decode_state(data))
    assert encode_state(other.state()) == data
    assert (at(other, (1, 4)).quality == at(model, (1, 4)).quality).all()


def test_a_hard_cluster_lowers_every_arm_and_keeps_their_order() -> None:
    model = posterior(levels=1)
    for _ in range(300):
        for arm, reward in zip(ARMS, (0.9, 0.8, 0.7), strict=True):
            learn(model, (1,), credit(arm, [(1.0, reward)], None, None), arm)
    for _ in range(30):  # only the best arm is tried where all are bad
        learn(model, (2,), credit("a", [(1.0, 0.1)], None, None), "a")
    belief = at(model, (2,)).quality
    assert belief.argmax() == 0 or belief[1] - belief[0] < 0.45
    assert (belief < at(model, (1,)).quality - 0.1).all()


def test_an_interaction_is_learnt_where_it_is_there() -> None:
    model = posterior(levels=1)
    rng = np.random.default_rng(0)
    for _ in range(600):
        cluster = int(rng.integers(1, 3))
        for arm in ARMS:
            good = {"a": cluster == 1, "b": cluster == 2, "c": False}[arm]
            reward = float(rng.random() < (0.9 if good else 0.3))
            learn(model, (cluster,), credit(arm, [(1.0, reward)], None, None), arm)
    assert at(model, (1,)).quality.argmax() == 0
    assert at(model, (2,)).quality.argmax() == 1
    assert at(model, (1,)).quality == pytest.approx([0.9, 0.3, 0.3], abs=0.08)


def test_a_prior_counts_until_there_is_evidence() -> None:
    model = Posterior(0)
    model.set_arm("a", 0.9, None)
    assert at(model, ()).quality[0] == pytest.approx(0.9)
    for _ in range(100):
        learn(model, (), credit("a", [(1.0, 0.2)], None, None), "a")
    assert at(model, ()).quality[0] == pytest.approx(0.2, abs=0.01)


def test_costs_scale_with_the_place_for_all_arms() -> None:
    model = posterior(levels=1)
    for _ in range(100):
        for arm, cost in zip(ARMS, (1.0, 2.0, 4.0), strict=True):
            learn(model, (1,), credit(arm, [], cost, None), arm)
            if arm != "c":
                learn(model, (2,), credit(arm, [], 10 * cost, None), arm)
    cost = at(model, (2,)).cost
    assert cost[:2] == pytest.approx([10, 20], rel=0.1)
    assert cost[2] > 1.5 * 4.0  # never seen there, but everything is dearer there


def test_unknown_costs_are_unknown_until_listed() -> None:
    model = Posterior(0)
    model.set_arm("a", None, None)
    assert np.isnan(at(model, ()).cost[0])
    model.set_arm("a", None, 0.01)
    assert at(model, ()).cost[0] == 0.01


def test_flat_pooling_gives_independent_beta_posteriors() -> None:
    model = posterior(levels=1, flat=True)
    learn(model, (1,), credit("a", [(1.0, 1.0)], None, None), "a")
    assert at(model, (1,)).beta is not None
    assert at(model, (1,)).beta[:, 0].tolist() == [2.0, 1.0]  # type: ignore[index]
    assert at(model, (2,)).beta[:, 0].tolist() == [1.0, 1.0]  # type: ignore[index]


def test_a_new_list_price_scales_what_was_billed() -> None:
    model = Posterior(1)
    model.set_arm("a", None, 0.01)
    for _ in range(50):
        learn(model, (1,), credit("a", [], 0.02, None), "a")
    model.set_arm("a", None, 0.1)
    assert at(model, (1,)).cost[0] == pytest.approx(0.2)


def test_a_moved_arm_is_believed_elsewhere_and_is_uncertain() -> None:
    model = posterior(levels=1)
    for _ in range(500):
        learn(model, (1,), credit("a", [(1.0, 0.8)], None, None), "a")
    before = at(model, (1,))
    model.moved("a", -0.4, keep=30.0)
    after = at(model, (1,))
    assert after.quality[0] == pytest.approx(before.quality[0] - 0.4, abs=0.08)
    assert after.quality_var[0] > before.quality_var[0]
    assert model.total[0] == pytest.approx(30.0)


def test_evidence_of_a_neighbour_counts_by_nearness() -> None:
    model = posterior(levels=1)
    for _ in range(60):
        learn(model, (1,), credit("a", [(1.0, 1.0)], None, None), "a")
        learn(model, (1,), credit("b", [(1.0, 0.0)], None, None), "b")
        learn(model, (9,), credit("a", [(1.0, 0.0)], None, None), "a")
        learn(model, (9,), credit("b", [(1.0, 1.0)], None, None), "b")

    def lead(kernel: float) -> float:
        here = Surroundings.of(
            path=(2,),
            starts=[0, 2],
            ids=[2, 1],
            kernel=np.array([1.0, kernel]),
            z=np.array([0.6, 0.8]),
        )
        quality = model.at(here).quality
        return float(quality[0] - quality[1])

    assert abs(lead(0.0)) < 0.05  # a new cluster far from everything: the levels are equal
    assert lead(0.0) < lead(0.1) < lead(1.0)
    assert lead(1.0) > 0.3


def test_hard_prompts_are_not_held_against_the_arm_that_gets_them() -> None:
    model = posterior(levels=1)
    rng = np.random.default_rng(0)
    hard, easy = (1.0, 0.0), (-1.0, 0.0)
    for _ in range(200):  # a is better by 0.2 everywhere, and is given the hard prompts
        for arm, place, mean in (("a", hard, 0.4), ("b", hard, 0.2), ("b", easy, 0.7)):
            if arm == "b" and place == hard and rng.random() < 0.7:
                continue
            reward = float(rng.random() < mean)
            learn(model, (1,), credit(arm, [(1.0, reward)], None, None), arm, z=place)
    overall = at(model, (), z=())
    assert overall.quality[0] > overall.quality[1]
    assert model.overall()[0][0] < model.overall()[0][1]  # plain means say the opposite


def test_priors_help_when_right_and_are_trusted_less_when_wrong() -> None:
    def level(priors: tuple[float, ...]) -> float:
        model = Posterior(1)
        for arm, prior in zip(ARMS, priors, strict=True):
            model.set_arm(arm, prior, None)
        for _ in range(40):
            learn(model, (1,), credit("a", [(1.0, 0.9)], None, None), "a")
            learn(model, (1,), credit("b", [(1.0, 0.5)], None, None), "b")
        return float(model.at(Surroundings.inside((1,))).quality_var[2])

    assert level((0.9, 0.5, 0.2)) < level((0.2, 0.9, 0.2))


def test_dearer_arms_are_expected_to_be_a_little_better_before_any_evidence() -> None:
    model = Posterior(1)
    for arm, cost in zip(ARMS, (0.001, 0.01, None), strict=True):
        model.set_arm(arm, None, cost)
    cheap, dear, unknown = at(model, ()).quality
    assert cheap < unknown < dear
    assert dear - cheap < 0.2


def test_an_arm_tried_less_than_its_share_is_sampled_wider() -> None:
    model = posterior(levels=1)

    def width(arm: str) -> float:
        sampled = at(model, (1,)).sampling_var
        assert sampled is not None
        return float(sampled[model.index[arm]])

    for step in range(60):
        learn(model, (1,), credit(ARMS[step % 3], [(1.0, step % 2)], None, None), ARMS[step % 3])
    before, first = width("b"), width("a")
    for step in range(2000):
        learn(model, (1,), credit("a", [(1.0, step % 2)], None, None), "a")
    assert width("b") > 1.3 * before
    assert width("a") < 0.2 * first


def test_an_arm_that_failed_in_its_first_trials_is_tried_again() -> None:
    model = posterior(levels=1)
    for _ in range(4):
        learn(model, (1,), credit("c", [(1.0, 0.0)], None, None), "c")
    for step in range(6000):
        arm, reward = ARMS[step % 2], float(step % 3 > 0)
        learn(model, (1,), credit(arm, [(1.0, reward)], None, None), arm)
    chance = propensities(compose(at(model, (1,)), Utility()), np.ones(3, dtype=bool))
    assert chance[model.index["c"]] > 5e-3


def test_telling_an_arm_again_changes_nothing() -> None:
    model = posterior()
    feed(model, [(0, 4, "a", 1.0, 1.0, None)])
    data = encode_state(model.state())
    model.set_arm("a", None, None)
    assert encode_state(model.state()) == data


def test_an_arm_is_like_the_one_it_is_said_to_be_until_it_shows_otherwise() -> None:
    model = posterior(levels=1)
    for _ in range(100):  # a is good in cluster 1 and bad in 2, b the other way round
        for place, (a, b) in ((1, (0.9, 0.3)), (2, (0.2, 0.8))):
            learn(model, (place,), credit("a", [(1.0, a)], None, None), "a")
            learn(model, (place,), credit("b", [(1.0, b)], None, None), "b")
    model.set_arm("new", None, None, like="a")
    for place in (1, 2):
        quality = at(model, (place,)).quality
        assert quality[3] == pytest.approx(quality[0], abs=0.12)
    for _ in range(200):
        learn(model, (1,), credit("new", [(1.0, 0.3)], None, None), "new")
    assert at(model, (1,)).quality[3] < 0.5
    model.set_arm("other", None, None, like="nobody")
    assert np.isfinite(at(model, (1,)).quality).all()


def test_retired_arms_share_no_traffic() -> None:
    def width(extra: int) -> float:
        model = posterior(levels=1)
        for i in range(extra):
            model.set_arm(f"x{i}", None, None)
            model.retire(f"x{i}")
        for step in range(600):
            arm = "a" if step % 20 else "b"
            learn(model, (1,), credit(arm, [(1.0, step % 2)], None, None), arm)
        sampled = at(model, (1,)).sampling_var
        assert sampled is not None
        return float(sampled[1])

    assert width(40) == pytest.approx(width(0), rel=0.15)


def test_bills_of_one_arm_tell_what_list_prices_come_to() -> None:
    model = Posterior(1)
    for arm, cost in zip(ARMS, (0.01, 0.1, None), strict=True):
        model.set_arm(arm, None, cost)
    for _ in range(50):  # answers are a tenth as long as list prices were reckoned with
        learn(model, (1,), credit("a", [(1.0, 1.0)], 0.001, None), "a")
    cost = at(model, (1,)).cost
    assert cost[0] == pytest.approx(0.001, rel=0.05)
    assert cost[1] == pytest.approx(0.01, rel=0.3)
    assert cost[2] == pytest.approx(0.001, rel=0.3)


def test_what_is_linear_in_the_place_is_learnt_inside_one_cluster() -> None:
    model = posterior(levels=1)
    rng = np.random.default_rng(0)
    for _ in range(400):  # an arm is good on one side of the only cluster, the next on the other
        side, arm = rng.choice([-1.0, 1.0]), int(rng.integers(2))
        good = 0.9 if (side > 0) == (arm == 0) else 0.3
        reward = float(rng.random() < good)
        learn(model, (1,), credit("", [(1.0, reward)], None, None), ARMS[arm], z=(side, 0.0))
    left, right = (at(model, (1,), z=(side, 0.0)).quality for side in (-1.0, 1.0))
    assert right[0] > right[1] + 0.3
    assert left[1] > left[0] + 0.3


def test_a_tilt_is_not_believed_where_there_is_none() -> None:
    model = posterior(levels=1)
    rng = np.random.default_rng(0)
    for _ in range(600):  # of two clusters that lie in one place one arm is good, of the other not
        cluster, arm = int(rng.integers(1, 3)), int(rng.integers(2))
        reward = float(rng.random() < (0.9 if (cluster == 1) == (arm == 0) else 0.3))
        seen = credit("", [(1.0, reward)], None, None)
        learn(model, (cluster,), seen, ARMS[arm], z=tuple(rng.normal(size=2)))
    assert model.state()["weights"][-1] < 1e-3


def test_what_lies_nowhere_leaves_the_places_of_clusters_alone() -> None:
    model, seen = posterior(), credit("a", [(1.0, 1.0)], None, None)
    learn(model, (1, 2), seen, "a")
    before = model._cells.places.copy()
    model.learn(Surroundings.inside((0, 0)), (0, 0), seen.sums, "a")
    np.testing.assert_array_equal(model._cells.places, before)
