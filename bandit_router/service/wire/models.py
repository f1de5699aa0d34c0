"""Arms at run time, their endpoints, and the kill switch."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from ...types import Endpoint, Need
from .bounds import Answer, Body, Name, NonNegative, Probability
from .routing import Expected


class ModelPatch(Body, frozen=True, kw_only=True):
    """The fields of a model to alter; what is left out stays."""

    input_usd_per_m: NonNegative | UnsetType | None = UNSET
    output_usd_per_m: NonNegative | UnsetType | None = UNSET
    cached_input_usd_per_m: NonNegative | UnsetType | None = UNSET
    quality_prior: Probability | UnsetType | None = UNSET
    similar_to: Name | UnsetType | None = UNSET
    context_tokens: Annotated[int, Meta(ge=1, le=1_000_000_000)] | UnsetType | None = UNSET
    supports: tuple[Need, ...] | UnsetType = UNSET
    available: bool | UnsetType = UNSET
    endpoints: tuple[Endpoint, ...] | UnsetType = UNSET


class ModelRequest(Body, frozen=True, kw_only=True):
    """An arm to add."""

    name: Name
    input_usd_per_m: NonNegative | None = None
    output_usd_per_m: NonNegative | None = None
    cached_input_usd_per_m: NonNegative | None = None
    quality_prior: Probability | None = None
    similar_to: Name | None = None
    context_tokens: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    supports: tuple[Need, ...] = ("tools", "vision", "json")
    available: bool = True
    endpoints: tuple[Endpoint, ...] = ()


class ModelAnswer(Answer, frozen=True, kw_only=True):
    """An arm and what is believed of it over all clusters."""

    name: str
    input_usd_per_m: float | None
    output_usd_per_m: float | None
    cached_input_usd_per_m: float | None
    quality_prior: float | None
    similar_to: str | None
    context_tokens: int | None
    supports: list[Need]
    available: bool
    endpoints: list[Endpoint]
    expected: Expected
    quality_interval: tuple[float, float] | None
    evidence: float


class ModelsAnswer(Answer, frozen=True, kw_only=True):
    """Every arm."""

    models: list[ModelAnswer]


class ModelRemoved(Answer, frozen=True, kw_only=True):
    """The arm is gone; its evidence stays in the log."""

    name: str
    status: Literal["removed"] = "removed"


class EndpointAnswer(Answer, frozen=True, kw_only=True):
    """One place that serves a model.

    `circuit` is `open` while it is left alone, `half-open` while one request at a time tries it.
    Latencies are smoothed: of whole answers, and of streams to their first event. `calls` counts
    answers (`answered`) and failures by kind since the start.
    """

    model: str
    endpoint: str
    kind: str
    circuit: str
    latency_ms: float | None
    first_byte_ms: float | None
    calls: dict[str, int]


class EndpointsAnswer(Answer, frozen=True, kw_only=True):
    """Every endpoint."""

    endpoints: list[EndpointAnswer]


class KillSwitchRequest(Body, frozen=True, kw_only=True):
    """The model that every request is given to, and why."""

    model: Name
    reason: Annotated[str, Meta(max_length=1000)] = ""


class KillSwitchAnswer(Answer, frozen=True, kw_only=True):
    """Whether one model is given every request; `since` in seconds since 1970."""

    on: bool
    model: str | None
    since: float | None
    reason: str
