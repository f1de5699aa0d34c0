"""From the nouns to what goes over the wire."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET

from ..candidates import rows
from ..explain import LITTLE
from ..memory import standing
from ..types import Advice, Decision, Feedback, History, Outcome, Shadow
from ..views import interval
from .wire import (
    AdviceAnswer,
    Asked,
    CandidateAnswer,
    Chance,
    DecisionAnswer,
    Demo,
    Expected,
    FeedbackEntry,
    OutcomeAnswer,
    RouteAnswer,
    ShadowAnswer,
    UtilityAnswer,
)


def route_answer(decision: Decision, demo: Demo | None, link: str | None) -> RouteAnswer:
    """Return the answer to ``POST /route``."""
    expected, candidates = _believed(decision)
    return RouteAnswer(
        decision_id=decision.decision_id,
        model=decision.model,
        cluster=decision.cluster,
        propensity=decision.propensity,
        expected=expected,
        candidates=candidates,
        feedback_url=link or UNSET,
        demo=demo or UNSET,
    )


def decision_answer(history: History) -> DecisionAnswer:
    """Return the answer to ``GET /decisions/{id}``."""
    decision = history.decision
    outcome = history.outcomes[-1] if history.outcomes else None
    expected, candidates = _believed(decision)
    return DecisionAnswer(
        decision_id=decision.decision_id,
        model=decision.model,
        cluster=decision.cluster,
        propensity=decision.propensity,
        expected=expected,
        candidates=candidates,
        seq=decision.seq,
        time=decision.time,
        path=list(decision.path),
        exact=decision.exact,
        propensity_draws=decision.propensity_draws,
        policy=decision.policy,
        role=decision.role,
        shadows=[_shadow(shadow, decision) for shadow in decision.shadows],
        advice=None if decision.advice is None else _advice(decision.advice),
        utility=UtilityAnswer(**msgspec.structs.asdict(decision.utility)),
        request=_asked(decision),
        prompt=decision.prompt,
        prompt_chars=decision.prompt_chars,
        prompt_sha256=decision.prompt_sha256,
        outcome=None if outcome is None else _outcome(outcome),
        outcomes=[_outcome(o) for o in history.outcomes],
        feedback=[_feedback(f) for f in standing(history).values()],
    )


def _believed(decision: Decision) -> tuple[Expected, list[CandidateAnswer]]:
    """Return what was expected of the model chosen, and what was believed of every candidate."""
    names, numbers = rows(decision.candidates)
    candidates = list(map(_candidate, names, numbers))
    return candidates[names.index(decision.model)].expected, candidates


def _candidate(model: str, row: list[Any]) -> CandidateAnswer:
    chance, quality, sd, cost, latency, _, draw, evidence, *support = row
    return CandidateAnswer(
        model,
        chance,
        Expected(quality, cost, latency),  # nan is null in JSON
        None if quality is None or sd is None else interval(quality, sd),
        draw,
        evidence,
        support,
        quality is not None and evidence < LITTLE,
    )


def _advice(advice: Advice) -> AdviceAnswer:
    return AdviceAnswer(**msgspec.structs.asdict(advice))


def _shadow(shadow: Shadow, decision: Decision) -> ShadowAnswer:
    failed = shadow.error is not None
    names = [] if failed else [c.model for c in decision.candidates]
    chances = dict(zip(names, shadow.propensities, strict=True))
    return ShadowAnswer(
        strategy=shadow.strategy,
        role=shadow.role,
        model=shadow.model,
        propensity=None if shadow.model is None else chances[shadow.model],
        candidates=[Chance(model=m, propensity=p) for m, p in chances.items()],
        exact=shadow.exact,
        propensity_draws=shadow.propensity_draws,
        error=shadow.error,
    )


def _asked(decision: Decision) -> Asked:
    asked = decision.request
    return Asked(
        models=None if asked.models is None else list(asked.models),
        exclude=list(asked.exclude),
        cost_weight=asked.cost_weight,
        max_cost_usd=asked.max_cost_usd,
        max_latency_ms=asked.max_latency_ms,
        needs=list(asked.needs),
        profile=asked.profile,
        session_id=asked.session_id,
        user=asked.user,
        metadata=dict(asked.metadata),
    )


def _outcome(outcome: Outcome) -> OutcomeAnswer:
    return OutcomeAnswer(
        time=outcome.time,
        model=outcome.model,
        cost_usd=outcome.cost_usd,
        latency_ms=outcome.latency_ms,
        prompt_tokens=outcome.prompt_tokens,
        completion_tokens=outcome.completion_tokens,
        cached_tokens=outcome.cached_tokens,
        reasoning_tokens=outcome.reasoning_tokens,
        estimated=outcome.estimated,
        endpoint=outcome.endpoint,
        error=outcome.error,
    )


def _feedback(feedback: Feedback) -> FeedbackEntry:
    return FeedbackEntry(
        source=feedback.source,
        reward=feedback.reward,
        cost_usd=feedback.cost_usd,
        latency_ms=feedback.latency_ms,
        prompt_tokens=feedback.prompt_tokens,
        completion_tokens=feedback.completion_tokens,
        weight=feedback.weight,
        reliability=feedback.reliability,
        time=feedback.time,
    )
