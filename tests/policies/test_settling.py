"""One call of machine code comes to what its parts do, bit for bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bandit_router.bandits.belief import SUPPORT, Belief, UtilityBelief
from bandit_router.bandits.draws import Draws
from bandit_router.bandits.thompson import draw, propensities
from bandit_router.policies.settling import eligible, sampled, settled


@given(
    st.integers(1, 12),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
    st.floats(-6.0, -1.0),
    st.data(),
)
def test_drawn_at_once_or_step_by_step(arms, seed, number, least, data):
    rng = np.random.default_rng(seed)
    table = rng.random((SUPPORT + 3, arms))
    moments = np.stack([rng.normal(0.5, 0.2, arms), 10 ** rng.uniform(least, -0.5, arms)])
    names = tuple(f"m{i}" for i in range(arms))
    some = data.draw(st.sets(st.sampled_from(names), min_size=1))
    wanted = tuple(name for name in names if name in some)
    allowed, belief, utility = eligible(names, wanted), Belief(table), UtilityBelief(moments)
    draws, again = Draws(7).at(number), Draws(7).at(number)

    found = sampled(wanted, allowed, belief, utility, draws)

    chance = propensities(utility, allowed.mask)
    score = draw(utility, again)
    if found is None:  # left as it was for those who go on step by step
        assert (draw(utility, draws) == score).all()
    else:
        chosen, candidates = settled(wanted, allowed, belief, chance, utility, score)
        assert found[0] == chosen
        assert found[1].models == candidates.models
        assert (found[1].table == candidates.table).all()
    assert draws.generator.random() == again.generator.random()


def test_what_takes_more_is_left_to_others():
    names = ("a", "b")
    belief, allowed = Belief(np.full((SUPPORT + 1, 2), 0.5)), eligible(names, names)
    unlike = UtilityBelief(np.array([[0.5, 0.5], [1e-12, 1.0]]))
    alike = UtilityBelief(np.array([[0.5, 0.5], [0.1, 0.1]]))
    beta = UtilityBelief(alike.moments, shift=np.zeros(2), beta=np.ones((2, 2)))
    assert sampled(names, allowed, belief, unlike, Draws(1).at(1)) is None
    assert sampled(names, allowed, belief, beta, Draws(1).at(1)) is None
    used = Draws(1).at(1)
    draw(alike, used)
    assert sampled(names, allowed, belief, alike, used) is None
    assert sampled(names, allowed, belief, alike, used.at(2)) is not None
