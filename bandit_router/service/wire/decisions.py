"""``GET /decisions/{id}``: why, and what came of it."""

from __future__ import annotations

from typing import Any, Literal

from ...types import Need, Role
from .bounds import Answer
from .routing import Chosen


class UtilityAnswer(Answer, frozen=True, kw_only=True):
    """The weights that composed the utility of one decision."""

    cost_weight: float
    reference_cost_usd: float
    latency_weight: float
    reference_latency_ms: float


class OutcomeAnswer(Answer, frozen=True, kw_only=True):
    """What serving observed of one call; see `types.Outcome`."""

    time: float
    model: str
    cost_usd: float | None
    latency_ms: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    estimated: bool
    endpoint: str | None
    error: str | None


class FeedbackEntry(Answer, frozen=True, kw_only=True):
    """The standing feedback of one source."""

    source: str
    reward: float | None
    cost_usd: float | None
    latency_ms: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    weight: float
    reliability: float
    time: float


class Asked(Answer, frozen=True, kw_only=True):
    """What the caller asked of the decision, beside the prompt."""

    models: list[str] | None
    exclude: list[str]
    cost_weight: float | None
    max_cost_usd: float | None
    max_latency_ms: float | None
    needs: list[Need]
    profile: str | None
    session_id: str | None
    user: str | None
    metadata: dict[str, Any]


class Chance(Answer, frozen=True, kw_only=True):
    """The propensity of one candidate."""

    model: str
    propensity: float


class ShadowAnswer(Answer, frozen=True, kw_only=True):
    """What another strategy said of a decision.

    `role` is `shadow` for one that was only asked; `live` and `canary` are the two that a canary
    decides between, or that a dry run did not follow. `propensity` is that of its own `model`;
    neither is there if it failed, and `error` says why.
    """

    strategy: str
    role: Literal["shadow", "live", "canary"]
    model: str | None
    propensity: float | None
    candidates: list[Chance]
    exact: bool
    propensity_draws: int
    error: str | None


class AdviceAnswer(Answer, frozen=True, kw_only=True):
    """What an LLM said that was asked for a model; if it named none, `error` says why."""

    model: str | None
    cost_usd: float
    latency_ms: float | None
    error: str | None


class DecisionAnswer(Chosen, frozen=True, kw_only=True):
    """Why: the clusters looked at, each arm's posterior, the draws, and what came of it.

    `outcomes` holds every call of an endpoint, oldest first, and `outcome` the last; `path` runs
    from the coarsest cluster to `cluster`. `propensity_draws` is 0 when the propensities are
    exact. `policy` is the strategy that chose, in its `role`.
    """

    seq: int
    time: float
    path: list[int]
    exact: bool
    propensity_draws: int
    policy: str
    role: Role
    shadows: list[ShadowAnswer]
    advice: AdviceAnswer | None
    utility: UtilityAnswer
    request: Asked
    prompt: str | None
    prompt_chars: int | None
    prompt_sha256: str | None
    outcome: OutcomeAnswer | None
    outcomes: list[OutcomeAnswer]
    feedback: list[FeedbackEntry]


class DecisionErased(Answer, frozen=True, kw_only=True):
    """Text, hash and metadata are gone; what the decision taught stays."""

    decision_id: str
    status: Literal["erased"] = "erased"
