"""Tables about how an arm is chosen: the map, the strategy, the trade-offs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from .kinds import Count, Dollars, Fraction, NonNegative, Positive, Reference, Table, Weight


class ClustererSettings(Table, frozen=True):
    """`[clusterer]`: how the map grows.

    `resolutions` are the radii of the map's levels, coarsest first, as distances between unit
    vectors (0 to 2). Every level but the finest is a DBSTREAM; `name` chooses the finest, and
    `params` are that River class's own constructor arguments. `half_life` is how many prompts
    it takes an unvisited cluster to lose half its weight, or seconds with `fading = "time"`
    (of the DBSTREAM levels; the other classes have arguments of their own for it). `names` lets
    regions be called by words of their recent prompts: kept in memory only, never on disk (so
    learnt anew after a restart), and shown only if several prompts had them.
    """

    name: Literal["dbstream", "kmeans", "streamkmeans", "clustream", "denstream"] = "dbstream"
    resolutions: tuple[Annotated[float, msgspec.Meta(gt=0, le=2)], ...] = (1.1, 0.9)
    max_clusters: Annotated[int, msgspec.Meta(ge=2)] = 1024
    half_life: Positive = 50_000
    fading: Literal["prompts", "time"] = "prompts"
    names: bool = False
    dimensions: Annotated[int, msgspec.Meta(ge=2, le=4096)] = 24
    params: dict[str, Any] = msgspec.field(default_factory=dict)

    def same_map(self, other: ClustererSettings) -> bool:
        """Tell whether a map goes on under `other`: names move no cluster."""
        return msgspec.structs.replace(self, names=other.names) == other


class Rule(Table, frozen=True):
    """`[[bandit.rules]]`: a rule of the strategy `features`; the first that fits decides.

    Every condition that is given must hold. `models` names arms in order of preference, `tier`
    one by its list price if none of them is eligible.
    """

    code: bool | None = None
    maths: bool | None = None
    languages: tuple[str, ...] = ()
    not_languages: tuple[str, ...] = ()
    questions: tuple[Literal["choice", "yes-no", "what", "why", "how", "task", "other"], ...] = ()
    min_chars: int | None = None
    max_chars: int | None = None
    models: tuple[str, ...] = ()
    tier: Literal["cheapest", "middle", "dearest"] | None = None


class BanditSettings(Table, frozen=True):
    """`[bandit]`: the strategy and how it explores.

    `strength` is how many observations of an arm in a cluster weigh as much as what the
    coarser level says of it; `difficulty_strength` the same for a cluster's difficulty, which
    all arms share; `bandwidth` is how far evidence of neighbouring clusters reaches, as a
    distance between unit vectors. `exploration` scales the variance that is sampled for an arm
    tried less than its share around a prompt; `sharpening` divides all of it. `detect_changes`
    watches each arm's residuals and forgets what was known of an arm that has changed.
    A conversation (`session_id`) leaves its model only for a gain in utility above
    `session_margin` and the price of a cold prompt cache. `floor` guarantees every eligible arm
    that probability. `pooling = "flat"` gives every (cluster, arm) an independent Beta
    posterior instead. `rules` are those of the strategy `features`.

    `shadows` are strategies whose choice is logged beside the live one's, and that learn with it.
    `canary` decides `canary_share` of the requests whose profile names no strategy. With
    `dry_run` every request is given to that model and what the strategy would have done is
    logged; with `kill_switch` it is given to that model and no strategy is asked.
    """

    strategy: str = "thompson"
    shadows: tuple[str, ...] = ()
    canary: str | None = None
    canary_share: Fraction = 0.05
    dry_run: str | None = None
    kill_switch: str | None = None
    pooling: Literal["additive", "flat"] = "additive"
    strength: Positive = 20.0
    difficulty_strength: Positive = 30.0
    exploration: NonNegative = 0.2
    sharpening: Positive = 4.0
    bandwidth: NonNegative = 0.4
    detect_changes: bool = True
    session_margin: NonNegative = 0.02
    floor: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.0
    cost_weight: Weight = 0.0
    latency_weight: Weight = 0.0
    reference_cost_usd: Reference | None = None
    reference_latency_ms: Reference = 1000.0
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0  # what logs can hold
    rules: tuple[Rule, ...] = ()


class LLMJudgeSettings(Table, frozen=True):
    """`[llm_judge]`: the LLM that the strategy `llm-judge` asks which model is to answer.

    `base_url` is OpenAI-compatible; the key comes from the environment variable `api_key_env`.
    If it has not answered in `timeout_s` seconds, or names no eligible model, the request goes to
    `fallback` (default: the main model, see the strategy `failover`). It is shown the first
    `max_prompt_chars` characters of a prompt. The prices, US dollars per million tokens, are those
    of a small model of 2025. A simulated judge is wrong at the `error_rate`.
    """

    base_url: str | None = None
    api_key_env: str | None = None
    model: str | None = None
    timeout_s: Positive = 5.0
    fallback: str | None = None
    max_prompt_chars: Count = 4_000
    input_usd_per_m: NonNegative = 0.15
    output_usd_per_m: NonNegative = 0.60
    error_rate: Fraction = 0.3


class BudgetSettings(Table, frozen=True):
    """`[budget]`: ceilings, US dollars; with one, the pacer sets the cost weight.

    `usd_per_request` is a mean over requests, `usd_per_day` what a day (UTC) may cost: what is
    left of it is spread over the requests that the day is expected to bring yet. With both, the
    tighter one holds.
    """

    usd_per_request: Dollars | None = None
    usd_per_day: Dollars | None = None


class Profile(Table, frozen=True):
    """`[[profiles]]`: a named trade-off and choice of models, and of how they are chosen.

    All profiles learn from each other; `[tenants.NAME]` are routers of their own.
    """

    name: str
    strategy: str | None = None
    cost_weight: Weight | None = None
    latency_weight: Weight | None = None
    models: tuple[str, ...] | None = None
