"""ParetoBandit: LinUCB that forgets, with its own budget pacer (extra `peers`)."""

from __future__ import annotations

from typing import Any

from ..bandits.belief import Array
from ..bandits.credit import CN, C, R, Sums, W
from ..bandits.draws import Draws
from ..config import BudgetSettings
from ..embedding.base import Projection
from ..types import Candidate, Decision, Model
from .base import Choice, Context, Lesson
from .peer import PeerPolicy, peer, shared

_ALPHA, _GAMMA = 0.05, 0.997
_PACER = ("lambda_t", "cost_ema", "n_observations")
_ARRAYS = ("A", "A_inv", "b", "theta")
_NUMBERS = ("last_update", "last_played", "regularization_floor")


class ParetoBanditPolicy(PeerPolicy):
    """Disjoint LinUCB with forgetting and staleness, in the paper's setting for a cold start.

    With a budget a request its own pacer (adaptive) rules, on actual costs, and ours keeps out of
    it; without one, costs come into the reward by the decision's cost weight. Its propensities are
    exact: 1 for the highest bound, shared among ties.

    References
    ----------
    Taberner-Miller (2026), ParetoBandit, arXiv 2604.00136 (alpha 0.05, gamma 0.997, no penalty).
    """

    name = "paretobandit"
    paces = True

    def __init__(self, projection: Projection | None, budget: BudgetSettings) -> None:
        super().__init__(projection)
        self._library = peer("pareto_bandit.policy", self.name)
        self._config = peer("pareto_bandit.types", self.name).RouterConfig()
        self._normalised = peer("pareto_bandit.costs", self.name).log_normalize_cost
        self._bandit: Any = None  # made with the first vector, which tells how many features
        self._rate: dict[str, float] = {}  # US dollars per 1,000 tokens, in and out alike
        self._pacer: Any = None
        if budget.usd_per_request is not None:
            pacing = peer("pareto_bandit.budget_pacer", self.name)
            self._pacer = pacing.BudgetPacer(
                budget.usd_per_request, mode=pacing.PacingMode.ADAPTIVE
            )

    def choose(self, context: Context, draws: Draws) -> Choice:
        """Choose the arm of the highest upper bound, less the pacer's penalty."""
        arms, penalty = self._allowed(context.arms)
        if self._bandit is None:
            score = dict.fromkeys(arms, 0.0)
        else:
            assert context.vector is not None
            x = self.features(context.vector)
            score = {a: self._bandit.select_arm(x, [a], penalty)[1] for a in arms}
        chance = dict.fromkeys(context.arms, 0.0) | shared(score)
        ties = [arm for arm in arms if chance[arm] > 0.0]
        return Choice(
            model=ties[int(draws.generator.integers(len(ties)))],
            candidates=tuple(Candidate(model=arm, propensity=p) for arm, p in chance.items()),
        )

    def _allowed(self, arms: tuple[str, ...]) -> tuple[list[str], dict[str, float] | None]:
        """Return the arms below the pacer's ceiling, and what it takes from their bounds."""
        if self._pacer is None:
            return list(arms), None
        ceiling = self._pacer.get_cost_ceiling_per_1k(max(self._rate.values()))
        allowed = [a for a in arms if ceiling is None or self._rate[a] <= ceiling] or list(arms)
        config = self._config
        cost = {
            arm: self._normalised(
                self._rate[arm], floor=config.market_cost_floor, ceiling=config.market_cost_ceiling
            )
            for arm in allowed
        }
        return allowed, self._pacer.get_extra_cost_penalties(cost)

    def decided(self, decision: Decision) -> None:
        """Let time go on, and note which arm was played."""
        vector = decision.embedding()
        if self._bandit is None and vector is not None:
            self._make(len(self.features(vector)))
        if self._bandit is not None and decision.model in self._bandit.A:
            self._bandit.mark_selected(decision.model)

    def feed(self, x: Array, arm: str, reward: float, lesson: Lesson) -> None:
        """Update the arm; the pacer observes the actual cost."""
        if self._bandit is None:
            return
        self._bandit.update(arm, x, reward, advance_time=False)
        if self._pacer is not None and lesson.total is not None and lesson.total[CN]:
            self._pacer.observe(lesson.total[C])
        if self._bandit.t and self._bandit.t % self._config.stability_check_interval == 0:
            for model in self._bandit.models:
                self._bandit._check_numerical_stability(model, self._config)

    def reward(self, lesson: Lesson, total: Sums) -> float:
        """Return the quality if the pacer minds the costs, else the utility."""
        if self._pacer is not None:
            return total[R] / total[W]
        return super().reward(lesson, total)

    def added(self, model: Model) -> None:
        """Register an arm and its list price; without one it counts as dear, as theirs do."""
        missing = self._config.default_missing_cost_per_m
        into = missing if model.input_usd_per_m is None else model.input_usd_per_m
        out = 3.0 * missing if model.output_usd_per_m is None else model.output_usd_per_m
        self._rate[model.name] = (into + out) / 2.0 / 1000.0
        if self._bandit is not None:
            self._bandit.add_arm(model.name)

    def _make(self, features: int) -> None:
        self._bandit = self._library.DisjointLinUCBPolicy(
            list(self.arms), dim=features, alpha=_ALPHA, forgetting_factor=_GAMMA, seed=0
        )

    def state(self) -> dict[str, Any]:
        """Return every arm's regression, the clock, the pacer."""
        ours = self._bandit
        fitted = None
        if ours is not None:
            fitted = {key: {arm: getattr(ours, key)[arm] for arm in ours.models} for key in _ARRAYS}
            fitted |= {key: {a: getattr(ours, key)[a] for a in ours.models} for key in _NUMBERS}
            fitted |= {"t": ours.t, "dim": ours.dim}
        pacer = None if self._pacer is None else {k: getattr(self._pacer, k) for k in _PACER}
        rate = dict(self._rate)
        return super().state() | {"fitted": fitted, "pacer": pacer, "rate": rate}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        super().load(state)
        self._rate, fitted = dict(state["rate"]), state["fitted"]
        if fitted is not None:
            self._make(fitted["dim"])
            self._bandit.t = fitted["t"]
            for key in (*_ARRAYS, *_NUMBERS):
                getattr(self._bandit, key).update(fitted[key])
        if self._pacer is not None and state["pacer"] is not None:
            for key in _PACER:
                setattr(self._pacer, key, state["pacer"][key])
