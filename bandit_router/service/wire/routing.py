"""``POST /route``."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ...types import Need
from .bounds import Answer, Body, Name, NonNegative, Number


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a message; parts other than text are let through and not read."""

    type: str
    text: str | None = None


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message in OpenAI's chat form; what else it carries is let through and not read."""

    role: str
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        """Its text parts, joined by newlines."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "\n".join(p.text for p in self.content if p.type == "text" and p.text)

    @property
    def shown(self) -> str:
        """What it holds beside text, by kind: "[image_url]"."""
        parts = () if self.content is None or isinstance(self.content, str) else self.content
        return " ".join(
            f"[{kind}]" for kind in dict.fromkeys(p.type for p in parts) if kind != "text"
        )


class RouteRequest(Body, frozen=True, kw_only=True):
    """One prompt to route: exactly one of `prompt`, `messages` and `embedding`."""

    prompt: str | None = None
    messages: list[Message] | None = None
    embedding: Annotated[list[Number], Meta(min_length=1, max_length=65_536)] | None = None
    models: Annotated[list[str], Meta(min_length=1, max_length=1000)] | None = None
    cost_weight: NonNegative | None = None
    max_cost_usd: NonNegative | None = None
    max_latency_ms: NonNegative | None = None
    needs: Annotated[list[Need], Meta(max_length=16)] = msgspec.field(default_factory=list)
    profile: str | None = None
    session_id: Name | None = None
    user: Name | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)


class Expected(Answer, frozen=True, gc=False):
    """What is expected of an arm; null where nothing is known."""

    quality: float | None
    cost_usd: float | None
    latency_ms: float | None


class CandidateAnswer(Answer, frozen=True, gc=False):
    """What was believed of one eligible arm.

    `quality_interval` holds 95 % of its posterior; `support` is the weight of feedback behind it
    over the whole map and around the prompt at each level, coarsest first.
    """

    model: str
    propensity: float
    expected: Expected
    quality_interval: tuple[float, float] | None
    draw: float | None
    evidence: float
    support: list[float]
    insufficient_evidence: bool


class Demo(Answer, frozen=True, kw_only=True):
    """The demo fleet's answer: the recorded outcome of the nearest bundled prompt."""

    nearest: str
    similarity: float
    quality: float
    cost_usd: float


class Chosen(Answer, frozen=True, kw_only=True):
    """The chosen arm, how probable it was, and what was believed of every candidate."""

    decision_id: str
    model: str
    cluster: int
    propensity: float
    expected: Expected
    candidates: list[CandidateAnswer]


class RouteAnswer(Chosen, frozen=True, kw_only=True):
    """The chosen arm, how probable it was, and what was believed of every candidate.

    `feedback_url` is a signed link for feedback without a key, where links are configured.
    """

    feedback_url: str | UnsetType = UNSET
    demo: Demo | UnsetType = UNSET
