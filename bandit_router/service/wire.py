"""What goes over the wire: request and response bodies, checked by msgspec."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ..store.keys import Scope
from ..types import Endpoint, FeedbackStatus, LineageEvent, Need, Role
from ..views import ClusterView

# JSON has no infinity, but 1e308 squared is one: the bounds keep every later sum finite.
NonNegative = Annotated[float, Meta(ge=0, le=1e9)]
Limit = Annotated[float, Meta(gt=0, lt=1e9)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Tokens = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Number = Annotated[float, Meta(ge=-1e18, le=1e18)]
Label = Annotated[str, Meta(min_length=1, max_length=64)]
Name = Annotated[str, Meta(min_length=1, max_length=256)]
BATCH_LIMIT = 1000


class _Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    pass


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


class RouteRequest(_Body, frozen=True, kw_only=True):
    """One prompt to route: exactly one of `prompt`, `messages` and `embedding`."""

    prompt: str | None = None
    messages: list[Message] | None = None
    embedding: Annotated[list[Number], Meta(min_length=1, max_length=65_536)] | None = None
    models: Annotated[list[str], Meta(min_length=1, max_length=1000)] | None = None
    cost_weight: NonNegative | None = None
    max_cost_usd: NonNegative | None = None
    max_latency_ms: NonNegative | None = None
    needs: Annotated[list[Need], Meta(max_length=16)] = []
    profile: str | None = None
    session_id: Name | None = None
    user: Name | None = None
    metadata: dict[str, Any] = {}


class ModelListed(_Answer, frozen=True, kw_only=True):
    """One entry of the list of models, in OpenAI's form and in Anthropic's."""

    id: str
    display_name: str
    object: Literal["model"] = "model"
    type: Literal["model"] = "model"
    created: int = 0
    created_at: str = "1970-01-01T00:00:00Z"
    owned_by: str = "bandit-router"


class ModelList(_Answer, frozen=True, kw_only=True):
    """The list of models, in OpenAI's form and in Anthropic's."""

    data: list[ModelListed]
    first_id: str
    last_id: str
    has_more: bool = False
    object: Literal["list"] = "list"


class TokenCount(_Answer, frozen=True, kw_only=True):
    """An estimate of the tokens of a Messages request."""

    input_tokens: int


class Expected(_Answer, frozen=True, kw_only=True):
    """What is expected of an arm; null where nothing is known."""

    quality: float | None
    cost_usd: float | None
    latency_ms: float | None


class CandidateAnswer(_Answer, frozen=True, kw_only=True):
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


class Demo(_Answer, frozen=True, kw_only=True):
    """The demo fleet's answer: the recorded outcome of the nearest bundled prompt."""

    nearest: str
    similarity: float
    quality: float
    cost_usd: float


class _Chosen(_Answer, frozen=True, kw_only=True):
    """The chosen arm, how probable it was, and what was believed of every candidate."""

    decision_id: str
    model: str
    cluster: int
    propensity: float
    expected: Expected
    candidates: list[CandidateAnswer]


class RouteAnswer(_Chosen, frozen=True, kw_only=True):
    """The chosen arm, how probable it was, and what was believed of every candidate.

    `feedback_url` is a signed link for feedback without a key, where links are configured.
    """

    feedback_url: str | UnsetType = UNSET
    demo: Demo | UnsetType = UNSET


class FeedbackRequest(_Body, frozen=True, kw_only=True):
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


class SignedFeedback(_Body, frozen=True, kw_only=True):
    """What somebody says by a signed link: `reward` or `rating`."""

    reward: Probability | None = None
    rating: Literal["up", "down"] | None = None


class FeedbackAnswer(_Answer, frozen=True, kw_only=True):
    """What became of a feedback; it is on disk."""

    status: FeedbackStatus


class FeedbackBatch(_Body, frozen=True, kw_only=True):
    """Up to 1,000 feedbacks, each judged for itself and in order."""

    feedback: Annotated[list[msgspec.Raw], Meta(max_length=BATCH_LIMIT)]


class BatchStatus(_Answer, frozen=True, kw_only=True):
    """What became of one feedback of a batch: `status`, or `error` and nothing changed."""

    decision_id: str | None = None
    status: FeedbackStatus | UnsetType = UNSET
    error: Error | UnsetType = UNSET


class BatchAnswer(_Answer, frozen=True, kw_only=True):
    """One result for each feedback, in order."""

    results: list[BatchStatus]


class UtilityAnswer(_Answer, frozen=True, kw_only=True):
    """The weights that composed the utility of one decision."""

    cost_weight: float
    reference_cost_usd: float
    latency_weight: float
    reference_latency_ms: float


class OutcomeAnswer(_Answer, frozen=True, kw_only=True):
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


class FeedbackEntry(_Answer, frozen=True, kw_only=True):
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


class Asked(_Answer, frozen=True, kw_only=True):
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


class Chance(_Answer, frozen=True, kw_only=True):
    """The propensity of one candidate."""

    model: str
    propensity: float


class ShadowAnswer(_Answer, frozen=True, kw_only=True):
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


class AdviceAnswer(_Answer, frozen=True, kw_only=True):
    """What an LLM said that was asked for a model; if it named none, `error` says why."""

    model: str | None
    cost_usd: float
    latency_ms: float | None
    error: str | None


class DecisionAnswer(_Chosen, frozen=True, kw_only=True):
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


class DecisionErased(_Answer, frozen=True, kw_only=True):
    """Text, hash and metadata are gone; what the decision taught stays."""

    decision_id: str
    status: Literal["erased"] = "erased"


class ModelPatch(_Body, frozen=True, kw_only=True):
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


class ModelRequest(_Body, frozen=True, kw_only=True):
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


class ModelAnswer(_Answer, frozen=True, kw_only=True):
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


class ModelsAnswer(_Answer, frozen=True, kw_only=True):
    """Every arm."""

    models: list[ModelAnswer]


class ModelRemoved(_Answer, frozen=True, kw_only=True):
    """The arm is gone; its evidence stays in the log."""

    name: str
    status: Literal["removed"] = "removed"


class KeyRequest(_Body, frozen=True, kw_only=True):
    """An API key to make. The first of all needs scope `admin`, and to be confirmed."""

    name: Label
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)] = ("route", "feedback")
    requests_per_minute: Limit | None = None
    usd_per_day: Limit | None = None
    usd_total: Limit | None = None
    paced: bool = True
    confirm: str = ""


class KeyAnswer(_Answer, frozen=True, kw_only=True):
    """An API key, but for the key itself; times in seconds since 1970, days in UTC."""

    id: str
    name: str
    scopes: list[Scope]
    created: float
    revoked: float | None
    requests_per_minute: float | None
    usd_per_day: float | None
    usd_total: float | None
    paced: bool
    spent_usd: float
    spent_today_usd: float


class KeyMade(KeyAnswer, frozen=True, kw_only=True):
    """An API key as it was made: `key` is told this once, the database holds its SHA-256."""

    key: str


class KeysAnswer(_Answer, frozen=True, kw_only=True):
    """Every API key, oldest first."""

    keys: list[KeyAnswer]


class EndpointAnswer(_Answer, frozen=True, kw_only=True):
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


class EndpointsAnswer(_Answer, frozen=True, kw_only=True):
    """Every endpoint."""

    endpoints: list[EndpointAnswer]


class KillSwitchRequest(_Body, frozen=True, kw_only=True):
    """The model that every request is given to, and why."""

    model: Name
    reason: Annotated[str, Meta(max_length=1000)] = ""


class KillSwitchAnswer(_Answer, frozen=True, kw_only=True):
    """Whether one model is given every request; `since` in seconds since 1970."""

    on: bool
    model: str | None
    since: float | None
    reason: str


class ClustersAnswer(_Answer, frozen=True, kw_only=True):
    """Every live cluster, coarsest level first, and the terms that utility is composed with."""

    clusters: list[ClusterView]
    cost_weight: float
    reference_cost_usd: float


class LineageAnswer(_Answer, frozen=True, kw_only=True):
    """What became of clusters, oldest first; `next` is the `after` of the next page, if any."""

    lineage: list[LineageEvent]
    next: int | None


class AgreementAnswer(_Answer, frozen=True, kw_only=True):
    """How a source's rewards go with those of people (source `user`) for the same decisions.

    `same_side` is the share of `decisions` in which both are on the same side of 0.5, `kappa` what
    of it is beyond chance (Cohen), `correlation` Pearson's; null where it cannot be told.
    """

    decisions: int
    same_side: float | None
    kappa: float | None
    correlation: float | None


class SourceAnswer(_Answer, frozen=True, kw_only=True):
    """What a source of feedback has said of the newest decisions, and what it counts.

    `reliability` is the mean over what it said.
    """

    source: str
    decisions: int
    mean_reward: float
    weight: float
    reliability: float
    with_people: AgreementAnswer | None


class SignalAnswer(_Answer, frozen=True, kw_only=True):
    """A signal of the service's own: what it has seen since the start, and what waits for it."""

    signal: str
    waiting: int
    seen: int
    told: int
    dropped: int
    failed: int


class JudgeAnswer(_Answer, frozen=True, kw_only=True):
    """The LLM that grades a share of the answers, and its money of today (UTC)."""

    method: str
    model: str | None
    share: float
    spent_today_usd: float
    usd_per_day: float


class SignalsAnswer(_Answer, frozen=True, kw_only=True):
    """Where feedback comes from, over the newest `decisions`."""

    decisions: int
    sources: list[SourceAnswer]
    signals: list[SignalAnswer]
    answer_judge: JudgeAnswer | None


class Health(_Answer, frozen=True, kw_only=True):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Freshness(_Answer, frozen=True, kw_only=True):
    """How old a replica's state is; decisions go on also from a stale one."""

    stale: bool
    age_s: float | None
    pending: int
    reason: str | None


class Ready(_Answer, frozen=True, kw_only=True):
    """The log is folded and the encoder is warm."""

    seq: int
    models: int
    status: Literal["ready"] = "ready"
    freshness: Freshness | UnsetType = UNSET


class Index(_Answer, frozen=True, kw_only=True):
    """Where to go from here."""

    version: str
    openapi: str = "/openapi.json"
    name: Literal["bandit-router"] = "bandit-router"


class Error(_Answer, frozen=True, kw_only=True):
    """What was wrong; `field` names the offending field where there is one."""

    type: str
    message: str
    field: str | UnsetType = UNSET


class ErrorAnswer(_Answer, frozen=True, kw_only=True):
    """Every error looks like this."""

    error: Error
