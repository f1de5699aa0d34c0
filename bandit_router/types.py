"""The nouns: models, requests, decisions, feedback, and the events that make the state.

All are frozen `msgspec.Struct` values. The four event kinds (`Decision`, `Outcome`,
`Feedback`, `Change`) form the log; a `Router`'s state is the fold of them in order of `seq`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, final

import msgspec
import numpy as np
from numpy.typing import NDArray

from .candidates import QUALITY, Candidates
from .candidates import Candidate as Candidate
from .vectors import FLOAT32
from .vectors import Vector as Vector

EVENT_VERSION = 2
"""Schema version that newly written events carry; 2 knows API keys and erasure."""

if TYPE_CHECKING:
    CandidateRows = Sequence[Candidate]
else:  # as which they are read from a log; those of a decision just made are `Candidates`
    CandidateRows = tuple[Candidate, ...]

Need = Literal["tools", "vision", "json"]
ChangeKind = Literal[
    "configured", "model_set", "model_removed", "trained", "kill_switch", "keys", "spent", "erased"
]
FeedbackStatus = Literal["recorded", "updated", "duplicate"]
Role = Literal["live", "canary", "dry-run", "kill-switch"]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One place that serves a model.

    Parameters
    ----------
    base_url
        Where it is; needed for the kind `openai`.
    kind
        `openai`: anything OpenAI-compatible. `anthropic`: Anthropic's own API. `litellm`: whatever
        the LiteLLM library reaches (an extra); `model` then holds its name there.
    api_key_env
        The environment variable that holds its key.
    model
        The model's name there, if it is another.
    input_usd_per_m, output_usd_per_m, cached_input_usd_per_m
        Its prices, if they are not the model's.
    responses
        Whether it has the Responses API (`openai`); None: it is asked once.
    """

    base_url: str | None = None
    kind: Literal["openai", "anthropic", "litellm"] = "openai"
    api_key_env: str | None = None
    model: str | None = None
    input_usd_per_m: float | None = None
    output_usd_per_m: float | None = None
    cached_input_usd_per_m: float | None = None
    responses: bool | None = None


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An arm: a model that may be chosen.

    Parameters
    ----------
    name
        Any text without a comma.
    input_usd_per_m, output_usd_per_m
        List prices, US dollars per million tokens.
    cached_input_usd_per_m
        What input costs that the provider has cached; None: a tenth of `input_usd_per_m`.
    quality_prior
        What is believed of its mean quality before any feedback, in [0, 1]: a guess, or what its
        model card says. Washed out by feedback, the sooner the more wrong the guesses prove.
    similar_to
        A model that this one is expected to be like, such as its predecessor: until feedback says
        otherwise it has that model's quality, also in what each kind of prompt does to it.
    context_tokens
        Longest prompt that it takes, tokens.
    supports
        Which of `tools`, `vision`, `json` it can do.
    available
        False takes it out of every choice while its evidence is kept.
    endpoints
        Where it is served; none means that it can be routed to, not served.
    """

    name: str
    input_usd_per_m: float | None = None
    output_usd_per_m: float | None = None
    cached_input_usd_per_m: float | None = None
    quality_prior: float | None = None
    similar_to: str | None = None
    context_tokens: int | None = None
    supports: tuple[Need, ...] = ("tools", "vision", "json")
    available: bool = True
    endpoints: tuple[Endpoint, ...] = ()


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a caller asks of one decision, beside the prompt.

    Parameters
    ----------
    models
        Arms to choose among; None means every available one.
    exclude
        Arms not to choose.
    cost_weight, latency_weight
        Weights of the utility for this request; None takes the router's own.
    max_cost_usd, max_latency_ms
        Arms whose expected cost or latency is above are not eligible.
    needs
        Capabilities that an arm must support.
    key
        Id of the API key that asks, never the key itself.
    """

    models: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    cost_weight: float | None = None
    latency_weight: float | None = None
    max_cost_usd: float | None = None
    max_latency_ms: float | None = None
    needs: tuple[Need, ...] = ()
    profile: str | None = None
    session_id: str | None = None
    user: str | None = None
    metadata: Mapping[str, Any] = {}
    key: str | None = None


class Utility(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The terms of ``quality - cost_weight * cost / reference_cost - latency_weight * ...``.

    Units: US dollars and milliseconds.
    """

    cost_weight: float = 0.0
    reference_cost_usd: float = 1.0
    latency_weight: float = 0.0
    reference_latency_ms: float = 1000.0


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """What an LLM that was asked for a model said, and what asking it took.

    `model` is None if it gave no usable answer, and `error` then says why.
    """

    model: str | None
    cost_usd: float = 0.0
    latency_ms: float | None = None
    error: str | None = None


class Shadow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What another strategy said of a decision, and whether it had a part in it.

    `propensities` are those of the decision's candidates, in their order; `exact` and
    `propensity_draws` as in `Decision`. `role` is ``shadow`` for one that was only asked;
    ``live`` and ``canary`` stand for the two that a canary decides between, or that a dry run
    did not follow. One that failed has an `error`, and neither model nor propensities.
    """

    strategy: str
    model: str | None = None
    propensities: tuple[float, ...] = ()
    role: Literal["shadow", "live", "canary"] = "shadow"
    exact: bool = True
    propensity_draws: int = 0
    error: str | None = None


@final
class Decision(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="decision", gc=False
):
    """One choice, logged before it is answered.

    `cluster` is the micro-cluster that the prompt falls into (0 is the whole map) and `path` the
    clusters that hold it, coarsest resolution first. `vector` is the unit embedding as
    little-endian float32 bytes; empty if the policy needs none. `propensities` of all candidates
    sum to 1; `exact` says that they were computed by quadrature or in closed form, otherwise
    `propensity_draws` Monte Carlo draws were used (0: the probability is not known, and 1 stands
    for the model that was chosen). `trust` is what its feedback counts, less than 1 where one end
    user or API key asks for very many (see `crowd.Crowd`); `capped` says that it is one voice
    among several, so that no feedback counts more than it was meant to.

    `policy` is the strategy that chose and `role` its part: with a canary the propensities are
    those of the mixture, whichever of the two chose. `shadows` is what the others said, and
    `advice` what an LLM said that any of them asked.
    """

    seq: int
    time: float
    decision_id: str
    model: str
    cluster: int
    propensity: float
    candidates: CandidateRows
    utility: Utility
    path: tuple[int, ...] = ()
    vector: bytes = b""
    exact: bool = True
    propensity_draws: int = 0
    policy: str = "thompson"
    role: Role = "live"
    shadows: tuple[Shadow, ...] = ()
    advice: Advice | None = None
    trust: float = 1.0
    capped: bool = False
    prompt_chars: int | None = None
    prompt_sha256: str | None = None
    prompt: str | None = None
    request: Request = Request()
    version: int = EVENT_VERSION

    def embedding(self) -> Vector | None:
        """Return a copy of the logged unit vector, or None if there is none.

        As it may be written to, machine code takes it as any other: that of read-only arrays is
        another, to be compiled and to be held in the processor's caches beside it.
        """
        return np.frombuffer(bytearray(self.vector), FLOAT32) if self.vector else None

    def candidate(self, model: str) -> Candidate | None:
        """Return what was believed of `model`, or None if it was not eligible."""
        if isinstance(self.candidates, Candidates):
            return self.candidates.of(model)
        for candidate in self.candidates:
            if candidate.model == model:
                return candidate
        return None

    @property
    def chosen(self) -> Candidate:
        """The candidate that was chosen."""
        found = self.candidate(self.model)
        assert found is not None
        return found

    @property
    def expected_quality(self) -> float | None:
        """The mean quality that was believed of the model chosen; None if nothing was."""
        if isinstance(self.candidates, Candidates):
            return self.candidates.number(self.model, QUALITY)
        return self.chosen.quality


@final
class Outcome(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="outcome", gc=False):
    """What serving observed: the arm that answered, its cost, latency or error.

    One for each call of an endpoint. `endpoint` says which, without credentials; `estimated` that
    the provider stated no usage and tokens were counted from the texts. `cached_tokens` are of
    the prompt's, `reasoning_tokens` of the completion's.
    """

    seq: int
    time: float
    decision_id: str
    model: str
    cost_usd: float | None = None
    latency_ms: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str | None = None
    endpoint: str | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    estimated: bool = False
    version: int = EVENT_VERSION


class Feedback(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="feedback", gc=False
):
    """What somebody said of a decision; `reward` is a quality in [0, 1].

    Cost (US dollars), latency (milliseconds) or token counts alone are feedback too. A second
    feedback of the same `source` replaces the first; another source adds its `weight`.
    `reliability` is what the source's word counted when it came, see `sources.Sources`. `prices`
    are those of input and output, US dollars per million tokens, that `cost_usd` was worked out
    by; None: it was said.
    """

    decision_id: str
    reward: float | None = None
    cost_usd: float | None = None
    latency_ms: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    source: str = "user"
    weight: float = 1.0
    reliability: float = 1.0
    prices: tuple[float, float] | None = None
    seq: int = 0
    time: float = 0.0
    version: int = EVENT_VERSION

    def same_content(self, other: Feedback) -> bool:
        """Tell whether `other` says the same (when it came, and what it counted then, aside)."""
        aside = ["seq", "time", "version", "reliability"]
        if self.prices is not None and other.prices is not None:
            aside.append("cost_usd")  # it is worked out, also of what other sources say
        ours = {name: getattr(self, name) for name in aside}
        return msgspec.structs.replace(other, **ours) == self


@final
class Change(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="change"):
    """An alteration of arms or settings.

    `what` is one of ``configured`` (settings, models and the map's projection as a whole; the
    first event of every log), ``model_set`` (one arm added or altered), ``model_removed``,
    ``trained`` (full information for a policy that is fitted; see `Training`), ``kill_switch``
    (`body`: the `model` that every request is given to, None for none, and the `reason`),
    ``keys`` (the API keys there are, by id, with their budgets), ``spent`` (what a key's
    requests cost that were no decisions), ``erased`` (text, hash and metadata of decisions).
    """

    seq: int
    time: float
    what: ChangeKind
    body: dict[str, Any]
    version: int = EVENT_VERSION


class KillSwitch(msgspec.Struct, frozen=True, kw_only=True):
    """That every request is given to one model: since when (seconds), and why."""

    model: str
    since: float
    reason: str = ""


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """Full information: what every arm did on every prompt of a training set.

    `vectors` holds unit embeddings as little-endian float32 bytes, prompt after prompt;
    `quality` and `cost_usd` little-endian float64 of shape (prompts, arms), nan where unknown.
    """

    arms: tuple[str, ...]
    dimension: int
    vectors: bytes
    quality: bytes
    cost_usd: bytes

    @classmethod
    def of(cls, arms: tuple[str, ...], vectors: Any, quality: Any, cost_usd: Any) -> Training:
        """Return the training set of arrays."""
        return cls(
            arms=arms,
            dimension=vectors.shape[1],
            vectors=vectors.astype("<f4").tobytes(),
            quality=quality.astype("<f8").tobytes(),
            cost_usd=cost_usd.astype("<f8").tobytes(),
        )

    def matrix(self) -> NDArray[np.float32]:
        """Return the embeddings, shape (prompts, dimension)."""
        return np.frombuffer(self.vectors, dtype="<f4").reshape(-1, self.dimension)

    def qualities(self) -> NDArray[np.float64]:
        """Return the qualities, shape (prompts, arms)."""
        return np.frombuffer(self.quality, dtype="<f8").reshape(-1, len(self.arms))

    def costs(self) -> NDArray[np.float64]:
        """Return the costs, shape (prompts, arms)."""
        return np.frombuffer(self.cost_usd, dtype="<f8").reshape(-1, len(self.arms))


Event = Decision | Outcome | Feedback | Change


class LineageEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of a cluster, derived from the fold.

    `seq` and `time` are those of the event that caused it. `other` is the parent of a cluster
    that was born, moved or drifted (changed its share of the traffic), the heir of one that
    merged or faded, the older cluster that one split from (0 is the whole map). `level` counts
    resolutions from the coarsest, 0.
    """

    seq: int
    time: float
    what: Literal["born", "merged", "faded", "split", "moved", "drifted"]
    cluster: int
    other: int
    level: int
    cause: str


def without_text(decision: Decision) -> Decision:
    """Return a decision without the text, the hash and the metadata of its prompt."""
    request = msgspec.structs.replace(decision.request, metadata={})
    return msgspec.structs.replace(decision, prompt=None, prompt_sha256=None, request=request)


class History(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A decision and all that has been said of it so far, oldest first.

    Of what one source says again and again, the last may stand alone; see `memory.with_event`.
    """

    decision: Decision
    outcomes: tuple[Outcome, ...] = ()
    feedback: tuple[Feedback, ...] = ()

    @property
    def answered_by(self) -> str:
        """The arm that is credited: the one that answered, else the one chosen."""
        for outcome in reversed(self.outcomes):
            if outcome.error is None:
                return outcome.model
        return self.decision.model

    def latest(self, source: str) -> Feedback | None:
        """Return the standing feedback of `source`, or None."""
        return next((f for f in reversed(self.feedback) if f.source == source), None)
