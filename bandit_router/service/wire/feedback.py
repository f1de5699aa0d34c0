"""``POST /feedback`` and its kin."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ...types import FeedbackStatus
from .bounds import BATCH_LIMIT, Answer, Body, Label, NonNegative, Probability, Tokens
from .errors import Error


class FeedbackRequest(Body, frozen=True, kw_only=True):
    """What somebody says of a decision: `reward` or `rating`, cost, latency or tokens."""

    decision_id: Annotated[str, Meta(min_length=1, max_length=256)]
    reward: Probability | None = None
    rating: Literal["up", "down"] | None = None
    cost_usd: NonNegative | None = None
    latency_ms: NonNegative | None = None
    prompt_tokens: Tokens | None = None
    completion_tokens: Tokens | None = None
    source: Label = "user"
    weight: Annotated[float, Meta(gt=0, le=100)] = 1.0


class SignedFeedback(Body, frozen=True, kw_only=True):
    """What somebody says by a signed link: `reward` or `rating`."""

    reward: Probability | None = None
    rating: Literal["up", "down"] | None = None


class FeedbackAnswer(Answer, frozen=True, kw_only=True):
    """What became of a feedback; it is on disk."""

    status: FeedbackStatus


class FeedbackBatch(Body, frozen=True, kw_only=True):
    """Up to 1,000 feedbacks, each judged for itself and in order."""

    feedback: Annotated[list[msgspec.Raw], Meta(max_length=BATCH_LIMIT)]


class BatchStatus(Answer, frozen=True, kw_only=True):
    """What became of one feedback of a batch: `status`, or `error` and nothing changed."""

    decision_id: str | None = None
    status: FeedbackStatus | UnsetType = UNSET
    error: Error | UnsetType = UNSET


class BatchAnswer(Answer, frozen=True, kw_only=True):
    """One result for each feedback, in order."""

    results: list[BatchStatus]
