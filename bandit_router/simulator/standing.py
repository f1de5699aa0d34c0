"""Policies and models of the rewards that need nobody to go through a log decision by decision."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal, get_args

import msgspec
import numpy as np

from ..bandits.draws import Draws
from ..config import BudgetSettings, Settings
from ..exceptions import InvalidInput
from ..policies import Context, Policy, make_policy
from ..types import Model, Utility
from .log_arrays import Log
from .ope import Array
from .passes import Run, normal

RewardModel = Literal["posterior", "means"]
REWARD_MODELS: tuple[RewardModel, ...] = get_args(RewardModel)


def check_reward_model(name: str) -> None:
    """Refuse a model of the rewards that there is not."""
    if name not in REWARD_MODELS:
        there = ", ".join(REWARD_MODELS)
        raise InvalidInput(f"reward_model is {name!r}; give {there}", "reward_model")


def stands(policy: str, settings: Settings) -> bool:
    """Tell whether a policy's chances on a decision follow from the decision alone."""
    bandit = settings.bandit
    alone = bandit.dry_run is None and bandit.kill_switch is None and bandit.canary is None
    return alone and settings.budget == BudgetSettings() and not _made(policy, settings).learns


def _made(policy: str, settings: Settings) -> Policy:
    bandit = msgspec.structs.replace(settings.bandit, strategy=policy)
    return make_policy(policy, msgspec.structs.replace(settings, bandit=bandit))


class Standing:
    """A policy that learns nothing: asked once for all decisions that look the same to it.

    It says what `passes.Passage` would, which asks it each time.

    Parameters
    ----------
    models
        Of the whole log.
    least
        See `passes.Passage`.
    """

    def __init__(
        self, policy: str, models: Sequence[str], settings: Settings, least: float | None = None
    ) -> None:
        self._models = tuple(models)
        self._policy = _made(policy, settings)
        for name in models:
            self._policy.set_arm(Model(name=name))
        self._draws = Draws(0).at(0)  # a choice is drawn, too; only the chances are asked for
        self._least = least
        self._luck = np.random.default_rng(0)

    def target(self, log: Log) -> Array:
        """Return its probabilities on the next part, shape (n, arms)."""
        return normal(self._chances(log))

    def lived(self, log: Log) -> list[int]:
        """Return the decisions of the next part that rejection sampling keeps."""
        assert log.propensity is not None
        assert self._least is not None
        luck = self._luck.random(len(log))
        ours = self._chances(log)[np.arange(len(log)), log.action]
        # One that could not have been chosen has a chance of 0, and luck is never below that.
        kept: list[int] = np.flatnonzero(luck < self._least * ours / log.propensity).tolist()
        return kept

    def _chances(self, log: Log) -> Array:
        sees, places = self._policy.sees, self._models
        if not self._policy.reads and log.eligible is None:
            return np.broadcast_to(self._row(places, None), (len(log), len(places)))
        table: list[Array] = []
        known: dict[Hashable, int] = {}
        which = np.empty(len(log), dtype=np.int64)
        for i, prompt in enumerate(log.prompts):
            able = places if log.eligible is None else log.eligible[i]
            key = able, sees(prompt)
            if key not in known:
                known[key] = len(table)
                table.append(self._row(able, prompt))
            which[i] = known[key]
        return np.stack(table)[which]

    def _row(self, able: tuple[str, ...], prompt: str | None) -> Array:
        wanted = set(able)
        arms = tuple(name for name in self._models if name in wanted)
        utility = Utility()
        choice = self._policy.choose(
            Context(arms=arms, utility=utility, prompt=prompt or ""), self._draws
        )
        out = np.zeros(len(self._models))
        for candidate in choice.candidates:
            out[self._models.index(candidate.model)] = candidate.propensity
        return out


class RunningMeans:
    """A model of the rewards: what each arm has earned on average so far, prompts unseen.

    Doubly robust estimates stay unbiased with it, for the correction is by importance weights
    whatever the model says; where prompts matter much they are wider than with our posterior.
    Before its first decision an arm is expected to earn 1/2, which counts as one decision.
    """

    def __init__(self, arms: int) -> None:
        self._earned = np.full(arms, 0.5)
        self._seen = np.ones(arms)
        self._paid = np.zeros(arms)
        self._bills = np.zeros(arms)

    def go_through(self, log: Log) -> Run:
        """Return what it expects on each decision of the next part, by what came before."""
        billed = ~np.isnan(log.cost)
        earned = self._so_far(self._earned, log, log.reward)
        seen = self._so_far(self._seen, log, np.ones(len(log)))
        paid = self._so_far(self._paid, log, np.where(billed, log.cost, 0.0))
        bills = self._so_far(self._bills, log, billed.astype(np.float64))
        cost = np.divide(paid, bills, out=np.full_like(paid, np.nan), where=bills > 0)
        return Run(np.empty((0, 0)), earned / seen, log.filled(cost))

    @staticmethod
    def _so_far(total: Array, log: Log, values: Array) -> Array:
        """Return the sums before each decision, (n, arms), and move `total` to those after."""
        sums = np.zeros((len(log) + 1, len(total)))
        sums[0] = total
        sums[np.arange(1, len(log) + 1), log.action] = values
        np.cumsum(sums, axis=0, out=sums)
        total[:] = sums[-1]
        return sums[:-1]
