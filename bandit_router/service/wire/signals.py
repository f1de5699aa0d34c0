"""Where feedback comes from."""

from __future__ import annotations

from .bounds import Answer


class AgreementAnswer(Answer, frozen=True, kw_only=True):
    """How a source's rewards go with those of people (source `user`) for the same decisions.

    `same_side` is the share of `decisions` in which both are on the same side of 0.5, `kappa` what
    of it is beyond chance (Cohen), `correlation` Pearson's; null where it cannot be told.
    """

    decisions: int
    same_side: float | None
    kappa: float | None
    correlation: float | None


class SourceAnswer(Answer, frozen=True, kw_only=True):
    """What a source of feedback has said of the newest decisions, and what it counts.

    `reliability` is the mean over what it said.
    """

    source: str
    decisions: int
    mean_reward: float
    weight: float
    reliability: float
    with_people: AgreementAnswer | None


class SignalAnswer(Answer, frozen=True, kw_only=True):
    """A signal of the service's own: what it has seen since the start, and what waits for it."""

    signal: str
    waiting: int
    seen: int
    told: int
    dropped: int
    failed: int


class JudgeAnswer(Answer, frozen=True, kw_only=True):
    """The LLM that grades a share of the answers, and its money of today (UTC)."""

    method: str
    model: str | None
    share: float
    spent_today_usd: float
    usd_per_day: float


class SignalsAnswer(Answer, frozen=True, kw_only=True):
    """Where feedback comes from, over the newest `decisions`."""

    decisions: int
    sources: list[SourceAnswer]
    signals: list[SignalAnswer]
    answer_judge: JudgeAnswer | None
