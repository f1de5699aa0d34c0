"""Environments of one's own, and those of river.bandit and gymnasium, can be played."""

from __future__ import annotations

from collections.abc import Iterator

import gymnasium
import numpy as np
import pytest
from river.bandit.envs import CandyCaneContest, KArmedTestbed

from bandit_router.config import parse_config
from bandit_router.exceptions import InvalidInput
from bandit_router.simulator import plots
from bandit_router.simulator.environments import (
    Answer,
    GymnasiumEnvironment,
    Round,
    play_environment,
)

QUICK = {"progress": False, "seeds": 2}


def two_topics(seed: int) -> Iterator[Round]:
    """Each of two models is good at one topic, and the vector tells which it is."""
    rng = np.random.default_rng(seed)
    centers = np.eye(8, dtype=np.float32)[:2]
    while True:
        topic = int(rng.integers(2))

        def answer(model: str, topic: int = topic) -> Answer:
            good = model == "ab"[topic]
            return Answer(float(rng.random() < (0.9 if good else 0.2)), cost_usd=0.01)

        vector = centers[topic] + 0.1 * rng.standard_normal(8).astype(np.float32)
        yield Round(answer, vector=vector, best=0.9)


def test_context_is_worth_it_where_it_is() -> None:
    found = play_environment(
        two_topics, ["a", "b"], ["thompson", "global-thompson"], steps=400, **QUICK
    )
    policies = found["policies"]
    assert policies["thompson"]["utility"] > policies["global-thompson"]["utility"] + 0.1
    assert policies["thompson"]["cost_usd"] == pytest.approx(0.01)
    assert len(policies["thompson"]["regret_curve_by_seed"]) == 2
    plots.learning_curves(found)
    plots.regret(found)
    plots.arm_shares(found)


def test_a_cost_weight_is_part_of_the_utility() -> None:
    settings = parse_config({"bandit": {"cost_weight": 0.5, "reference_cost_usd": 0.01}}).settings
    found = play_environment(
        two_topics, ["a", "b"], ["random"], steps=200, settings=settings, **QUICK
    )
    random = found["policies"]["random"]
    assert random["utility"] == pytest.approx(random["quality"] - 0.5)


def test_rivers_own_environments_are_learnt() -> None:
    env = GymnasiumEnvironment(lambda: CandyCaneContest(n_machines=5, reward_decay=0.0))
    assert env.models == ("0", "1", "2", "3", "4")
    found = play_environment(
        env, env.models, ["global-thompson", "random"], steps=300, progress=False, seeds=3
    )
    utility = {name: p["utility"] for name, p in found["policies"].items()}
    assert utility["global-thompson"] > utility["random"] + 0.1
    again = play_environment(env, env.models, ["random"], steps=300, progress=False, seeds=3)
    assert again["policies"]["random"] == found["policies"]["random"]


def test_rewards_without_bounds_need_some() -> None:
    with pytest.raises(InvalidInput) as caught:
        GymnasiumEnvironment(KArmedTestbed)
    assert caught.value.field == "reward_range"
    env = GymnasiumEnvironment(KArmedTestbed, reward_range=(-3.0, 3.0))
    found = play_environment(env, env.models, ["global-thompson", "random"], steps=300, **QUICK)
    utility = {name: p["utility"] for name, p in found["policies"].items()}
    assert utility["global-thompson"] > utility["random"]


class Corridor(gymnasium.Env):
    """Episodes of five steps; the observation says which of two actions is right."""

    action_space = gymnasium.spaces.Discrete(2)
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (4,))
    reward_range = (0.0, 1.0)

    def reset(self, *, seed: int | None = None, options: object = None):
        super().reset(seed=seed)
        self._left = 5
        return self._next(), {}

    def step(self, action: int):
        reward = float(action == self._right)
        self._left -= 1
        return self._next(), reward, self._left == 0, False, {}

    def _next(self) -> np.ndarray:
        self._right = int(self.np_random.integers(2))
        return np.eye(4, dtype=np.float32)[self._right]


def test_observations_are_context_and_episodes_follow_one_another() -> None:
    env = GymnasiumEnvironment(Corridor)
    found = play_environment(env, env.models, ["thompson"], steps=150, **QUICK)
    assert found["policies"]["thompson"]["curve_by_seed"][0][-1] > 0.9


def test_what_cannot_be_played_is_refused() -> None:
    with pytest.raises(InvalidInput, match="steps"):
        play_environment(two_topics, ["a", "b"], ["random"], steps=0)
    with pytest.raises(InvalidInput, match="no round"):
        play_environment(lambda seed: [], ["a", "b"], ["random"], steps=5, **QUICK)
    with pytest.raises(InvalidInput, match="fitted"):
        play_environment(two_topics, ["a", "b"], ["forest"], steps=5, **QUICK)
