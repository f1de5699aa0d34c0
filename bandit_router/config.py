"""Settings, from a TOML file and the environment, every key checked before anything starts."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from .exceptions import ConfigError
from .types import Endpoint, Model

Positive = Annotated[float, msgspec.Meta(gt=0)]
Dollars = Annotated[float, msgspec.Meta(ge=1e-9, le=1e9)]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]
Weight = Annotated[float, msgspec.Meta(ge=0, le=1e9)]  # beyond, rounding hides what it weighs
LEAST_REFERENCE = 1e-12
Reference = Annotated[float, msgspec.Meta(ge=LEAST_REFERENCE, le=1e12)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]

DEAREST = 1e9
"""The highest list price, US dollars per million tokens: the squares of costs are summed up."""

ENVIRONMENT_PREFIX = "BANDIT_ROUTER_"


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class ServerSettings(_Table, frozen=True):
    """`[server]`: where to listen, what to refuse, and how long to wait.

    `upstream_timeout_s` is how many seconds an endpoint may be silent, `deadline_s` how many a
    whole answer may take, retries and failovers included.

    `event_loop` is uvloop where that is installed (`auto`), which answers faster than asyncio's.

    `log_format` and `log_level` are those of standard error: from ``info`` on every request is a
    line with the id of its decision.

    More than `max_connections` at once are turned away (503), and so are requests while
    `max_requests` are being answered. A body has to arrive within `body_timeout_s` (else 408), a
    connection without a request is closed after `idle_timeout_s`. Told to stop, the service takes
    no more requests and gives those under way `shutdown_s` to end.

    `cors_origins` are the web sites whose pages may call the service from a browser, such as
    ``"https://app.example.com"``; none by default.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8080
    event_loop: Literal["auto", "asyncio", "uvloop"] = "auto"
    max_prompt_chars: Count = 200_000
    max_body_bytes: Count = 8_000_000
    upstream_timeout_s: Positive = 60.0
    deadline_s: Positive = 600.0
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    cors_origins: tuple[str, ...] = ()
    max_connections: Count = 2_000
    max_requests: Count = 1_000
    body_timeout_s: Positive = 30.0
    idle_timeout_s: Positive = 75.0
    shutdown_s: NonNegative = 10.0


class EmbedderSettings(_Table, frozen=True):
    """`[embedder]`: what turns prompts into vectors.

    `name` is `minilm` (packaged), `static` (packaged: no neural network, no torch), any
    sentence-transformers name or folder, `openai:MODEL` (an OpenAI-compatible endpoint for
    embeddings at `base_url`), or `none`: the caller brings vectors of its own. `backend` runs
    `minilm` by sentence-transformers (`torch`) or by ONNX Runtime in 8-bit integers (`onnx`);
    `auto` takes the latter where it is installed. `threads` is how many an encoder may use.
    The service keeps the vectors of the last `cache_size` different prompts. `api_key_env` names
    the variable that holds the endpoint's key; `timeout_s` is how long it may take.
    """

    name: str = "minilm"
    backend: Literal["auto", "torch", "onnx"] = "auto"
    batch_size: Count = 64
    threads: Count | None = None
    cache_size: Annotated[int, msgspec.Meta(ge=0)] = 10_000
    base_url: str = "https://api.openai.com/v1"
    api_key_env: str = "OPENAI_API_KEY"
    timeout_s: Positive = 10.0


class ClustererSettings(_Table, frozen=True):
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
    params: dict[str, Any] = {}

    def same_map(self, other: ClustererSettings) -> bool:
        """Tell whether a map goes on under `other`: names move no cluster."""
        return msgspec.structs.replace(self, names=other.names) == other


class Rule(_Table, frozen=True):
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


class BanditSettings(_Table, frozen=True):
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


class LLMJudgeSettings(_Table, frozen=True):
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


class BudgetSettings(_Table, frozen=True):
    """`[budget]`: ceilings, US dollars; with one, the pacer sets the cost weight.

    `usd_per_request` is a mean over requests, `usd_per_day` what a day (UTC) may cost: what is
    left of it is spread over the requests that the day is expected to bring yet. With both, the
    tighter one holds.
    """

    usd_per_request: Dollars | None = None
    usd_per_day: Dollars | None = None


SIGNAL_WEIGHTS = {"verifier": 0.5, "implicit": 0.3, "judge": 0.5}
"""What the families of sources count that the service itself speaks for; see `FeedbackSettings`."""


class FeedbackSettings(_Table, frozen=True):
    """`[feedback]`: how much each source counts; a source not named counts `default_weight`.

    The part of a source's name before a colon is its family: `weights` may name either, the
    source first. The families of the service's own signals (`verifier`, `implicit`, `judge`)
    count less than a person unless they are named.

    Where requests name several end users, the feedback of one user's decisions counts in full
    for `user_cap` of them in `user_window` decisions of the whole service, and beyond that only
    as the window moves on; where several API keys can give feedback, `key_cap` says it of a key.
    With `estimate_reliability`, a source whose word agrees less with what was expected than that
    of the best source counts less.
    """

    weights: dict[str, NonNegative] = {}
    default_weight: NonNegative = 1.0
    user_cap: Positive | None = 500.0
    key_cap: Positive | None = 2_000.0
    user_window: Positive = 10_000.0
    estimate_reliability: bool = True

    def weight(self, source: str) -> float:
        """Return what a source counts."""
        family = family_of(source)
        if source in self.weights or family in self.weights:
            return self.weights.get(source, self.weights.get(family, 0.0))
        return SIGNAL_WEIGHTS.get(family, self.default_weight)


class SignalsSettings(_Table, frozen=True):
    """`[signals]`: what the gateway tells of its answers by itself; see docs/feedback.md.

    `schema`: whether an answer is valid by the JSON schema that was asked for; `tools`: whether
    its tool calls are; `answer`: an answer that is empty, or a refusal (said so by the provider,
    or short and beginning with one of `refusals`), counts as bad. `implicit`: an answer whose
    user asks the same again is bad, one whose user goes on is good: the same messages again in a
    session, the same question again within `retry_s`, or one whose embedding has a cosine of at
    least `rephrase_similarity` with the last one's; a session is forgotten after `session_s`.

    `check` names a Python function ``"package.module:function"``, and `webhook` a URL, that are
    shown every answer and may say how good it is within `timeout_s`; `webhook_token_env` names
    the variable that holds the webhook's bearer token. At most `queue` answers wait for a signal;
    more are let pass unseen.
    """

    schema: bool = True
    tools: bool = True
    answer: bool = True
    refusals: tuple[str, ...] = (
        "i'm sorry, but i can't",
        "i'm sorry, but i cannot",
        "i'm sorry, i can't",
        "i can't assist",
        "i can't help with",
        "i cannot help with",
        "i'm unable to",
        "es tut mir leid, aber ich kann",
        "je suis désolé, mais je ne peux pas",
        "lo siento, pero no puedo",
        "desculpe, mas não posso",
        "mi dispiace, ma non posso",
        "抱歉,我无法",
        "很抱歉,我无法",
        "申し訳ありませんが",
    )
    implicit: bool = True
    rephrase_similarity: Fraction = 0.8
    retry_s: NonNegative = 60.0
    session_s: Positive = 3_600.0
    check: str | None = None
    webhook: str | None = None
    webhook_token_env: str | None = None
    timeout_s: Positive = 10.0
    queue: Count = 1_000


class AnswerJudgeSettings(_Table, frozen=True):
    """`[answer_judge]`: the LLM that grades a `share` of the answers, in the background.

    With the method `rubric` it marks an answer from 0 to 10 by `rubric`; with `pairwise` another
    eligible model, drawn at random, answers too and the judge says which answer is better.
    `base_url` is OpenAI-compatible; the key comes from the environment variable `api_key_env`.
    It is shown at most `max_chars` characters of each text. Once asking (and the second answers)
    has cost `usd_per_day`, nothing is asked until the next day (UTC).
    """

    share: Fraction = 0.0
    method: Literal["rubric", "pairwise"] = "rubric"
    rubric: str = "Is it correct, complete, to the point, and what the user asked for?"
    base_url: str | None = None
    api_key_env: str | None = None
    model: str | None = None
    timeout_s: Positive = 60.0
    usd_per_day: Dollars = 1.0
    max_chars: Count = 8_000
    input_usd_per_m: NonNegative = 0.15
    output_usd_per_m: NonNegative = 0.60


class StoreSettings(_Table, frozen=True):
    """`[store]`: the database, what of a prompt is kept in it, and for how long.

    `path` is a file, or the URL of a PostgreSQL database that many processes share.
    With `keep_prompts` the text of a prompt is kept for `prompt_days`, else only its length and
    hash. Events older than `keep_days` fold into a checkpoint, which keeps what was learnt; with
    `archive`, a folder, they are written there as Parquet first. `redact` names a Python function
    ``"package.module:function"``, text to text, that every prompt goes through before anything
    of it is embedded, hashed, kept, or sent to a judge.
    """

    path: str = "bandit-router.db"
    snapshot_every: Count = 5_000
    keep_prompts: bool = False
    prompt_days: Positive | None = None
    keep_days: Positive | None = None
    archive: str | None = None
    redact: str | None = None


class KeysSettings(_Table, frozen=True):
    """`[keys]`: how API keys are asked for; the keys themselves are in the database.

    Without any key the service listens on loopback only, unless `allow_open`.
    `signing_secret_env` names the environment variable that holds the secret (32 characters or
    more) with which feedback links are signed; they hold for `link_days`. `requests_per_minute`
    is the limit of a key that has none of its own.
    """

    allow_open: bool = False
    requests_per_minute: Positive | None = None
    signing_secret_env: str | None = None
    link_days: Positive = 30.0


class Profile(_Table, frozen=True):
    """`[[profiles]]`: a named trade-off and choice of models, and of how they are chosen."""

    name: str
    strategy: str | None = None
    cost_weight: Weight | None = None
    latency_weight: Weight | None = None
    models: tuple[str, ...] | None = None


class Settings(_Table, frozen=True):
    """Everything but the models."""

    server: ServerSettings = ServerSettings()
    embedder: EmbedderSettings = EmbedderSettings()
    clusterer: ClustererSettings = ClustererSettings()
    bandit: BanditSettings = BanditSettings()
    llm_judge: LLMJudgeSettings = LLMJudgeSettings()
    budget: BudgetSettings = BudgetSettings()
    feedback: FeedbackSettings = FeedbackSettings()
    signals: SignalsSettings = SignalsSettings()
    answer_judge: AnswerJudgeSettings = AnswerJudgeSettings()
    store: StoreSettings = StoreSettings()
    keys: KeysSettings = KeysSettings()
    profiles: tuple[Profile, ...] = ()


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Settings and models: what a configuration file says."""

    settings: Settings = Settings()
    models: tuple[Model, ...] = ()


class _File(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    models: tuple[Model, ...] = ()


def load_config(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Read the configuration: the file, then the environment over it.

    Parameters
    ----------
    path
        A TOML file; None takes the defaults.
    environ
        Environment variables; those named ``BANDIT_ROUTER_<TABLE>_<KEY>`` are read.

    Raises
    ------
    ConfigError
        With the dotted key of the offending setting as `field`.
    """
    raw: dict[str, Any] = {}
    if path is not None:
        try:
            raw = tomllib.loads(path.read_bytes().decode())
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not valid TOML: {error}") from None
    _overlay(raw, environ or {})
    return parse_config(raw)


def parse_config(raw: Mapping[str, Any]) -> Config:
    """Check a configuration that is already a mapping; see `load_config`."""
    _refuse_unfinite(raw, "")
    try:
        file = msgspec.convert(raw, _File)
    except msgspec.ValidationError as error:
        raise _explained(error, raw) from None
    fields = {name: getattr(file, name) for name in Settings.__struct_fields__}
    config = Config(settings=Settings(**fields), models=file.models)
    check_models(config.models)
    check_kin(config.models, [model.name for model in config.models])
    _check_settings(config)
    return config


def check_models(models: tuple[Model, ...]) -> None:
    """Refuse model names that clash or cannot be written, and numbers that make no sense.

    Raises
    ------
    ConfigError
        Naming the model.
    """
    seen: set[str] = set()
    for model in models:
        name = model.name
        if model.similar_to == name:
            raise ConfigError(f"models.similar_to: {name!r} names itself", "models.similar_to")
        if not name.strip() or "," in name or not name.isprintable():
            raise ConfigError(
                f"models.name: {name!r} must be printable text without a comma", "models.name"
            )
        if name in seen:
            raise ConfigError(f"models.name: {name!r} is given twice", "models.name")
        seen.add(name)
        for key, low, high in (
            ("input_usd_per_m", 0.0, DEAREST),
            ("output_usd_per_m", 0.0, DEAREST),
            ("cached_input_usd_per_m", 0.0, DEAREST),
            ("quality_prior", 0.0, 1.0),
            ("context_tokens", 1.0, math.inf),
        ):
            value = getattr(model, key)
            if value is not None and not (low <= value <= high and math.isfinite(value)):
                limit = f"between {low:g} and {high:g}" if high < math.inf else f"at least {low:g}"
                raise ConfigError(
                    f"models.{key}: {value!r} of {name!r} must be a number {limit}", f"models.{key}"
                )
        for endpoint in model.endpoints:
            _check_endpoint(endpoint, name)


def _check_endpoint(endpoint: Endpoint, name: str) -> None:
    url, field = endpoint.base_url, "models.endpoints.base_url"
    if url is None and endpoint.kind == "openai":
        raise ConfigError(f"{field}: an endpoint of {name!r} needs one", field)
    if url is not None and not re.match(r"https?://[^/\s]", url):
        raise ConfigError(
            f"{field}: {url!r} of {name!r} must begin with http:// or https://", field
        )
    for key in ("input_usd_per_m", "output_usd_per_m", "cached_input_usd_per_m"):
        price = getattr(endpoint, key)
        if price is not None and not 0.0 <= price <= DEAREST:
            field, limit = f"models.endpoints.{key}", f"between 0 and {DEAREST:g}"
            raise ConfigError(f"{field}: {price!r} of {name!r} must be {limit}", field)


def check_kin(models: Iterable[Model], known: Iterable[str]) -> None:
    """Refuse a model that is said to be similar to one that there is not.

    Raises
    ------
    ConfigError
        Naming both.
    """
    names = set(known)
    for model in models:
        if model.similar_to is not None and model.similar_to not in names:
            raise ConfigError(
                f"models.similar_to: {model.similar_to!r} of {model.name!r} is no model"
                f"{nearest(model.similar_to, names)}; one that no longer serves is kept with "
                "`available = false`",
                "models.similar_to",
            )


def _check_settings(config: Config) -> None:
    levels = config.settings.clusterer.resolutions
    if not levels or list(levels) != sorted(levels, reverse=True) or len(set(levels)) < len(levels):
        raise ConfigError(
            "clusterer.resolutions: give one or more radii, each smaller than the one before",
            "clusterer.resolutions",
        )
    names = [profile.name for profile in config.settings.profiles]
    if len(set(names)) < len(names):
        raise ConfigError("profiles.name: two profiles have the same name", "profiles.name")
    known = {model.name for model in config.models}
    for key, name in _models_named(config.settings) if known else ():
        if name not in known:
            raise ConfigError(f"{key}: {name!r} is no model{nearest(name, known)}", key)


def _models_named(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the dotted key and the name of every model that the settings name."""
    bandit = settings.bandit
    for key in ("dry_run", "kill_switch"):
        if (model := getattr(bandit, key)) is not None:
            yield f"bandit.{key}", model
    for key, strategy in strategies_named(settings):
        if strategy.startswith("fixed:"):
            yield key, strategy.removeprefix("fixed:")
    if settings.llm_judge.fallback is not None:
        yield "llm_judge.fallback", settings.llm_judge.fallback
    for rule in bandit.rules:
        yield from (("bandit.rules", name) for name in rule.models)
    for profile in settings.profiles:
        yield from (("profiles.models", name) for name in profile.models or ())


def family_of(source: str) -> str:
    """Return the family of a source of feedback: its name up to the first colon."""
    return source.partition(":")[0]


def strategies_named(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the dotted key and the name of every strategy that has a part, the live one first."""
    bandit = settings.bandit
    yield "bandit.strategy", bandit.strategy
    if bandit.canary is not None:
        yield "bandit.canary", bandit.canary
    yield from (("bandit.shadows", name) for name in bandit.shadows)
    for profile in settings.profiles:
        if profile.strategy is not None:
            yield "profiles.strategy", profile.strategy


def nearest(name: str, known: Any) -> str:
    """Return "; did you mean 'x'?" for the known name closest to `name`, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _overlay(raw: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Write ``BANDIT_ROUTER_<TABLE>_<KEY>`` variables over `raw`, in place."""
    tables = {
        field.name: field.type
        for field in msgspec.structs.fields(Settings)
        if isinstance(field.type, type) and issubclass(field.type, _Table)
    }
    known = {
        f"{ENVIRONMENT_PREFIX}{table}_{field.name}".upper(): (table, field)
        for table, type_ in tables.items()
        for field in msgspec.structs.fields(type_)
    }
    for variable, text in environ.items():
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        if variable not in known:
            raise ConfigError(
                f"the environment variable {variable} sets nothing{nearest(variable, known)}",
                variable,
            )
        table, field = known[variable]
        section = raw.setdefault(table, {})
        if isinstance(section, dict):
            section[field.name] = _from_text(text, field.type, f"{table}.{field.name}")


def _from_text(text: str, type_: Any, key: str) -> Any:
    for candidate in (text, f'"{text}"'):  # TOML's own notation first: 3, [1, 2], true
        try:
            value = tomllib.loads(f"value = {candidate}")["value"]
            return msgspec.to_builtins(msgspec.convert(value, type_))
        except (tomllib.TOMLDecodeError, msgspec.ValidationError):
            continue
    try:
        return msgspec.to_builtins(msgspec.convert(text, type_, strict=False))
    except msgspec.ValidationError as error:
        raise ConfigError(f"{key}: {error} (from the environment)", key) from None


def _refuse_unfinite(value: Any, key: str) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _refuse_unfinite(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for inner in value:
            _refuse_unfinite(inner, key)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{key}: {value} is no finite number", key)


def _explained(error: msgspec.ValidationError, raw: Mapping[str, Any]) -> ConfigError:
    """Turn msgspec's message into one with a dotted key and the nearest known name."""
    text = str(error)
    what, _, where = text.partition(" - at `$")
    path = re.sub(r"\[[^\]]*\]", "", where.rstrip("`")).lstrip(".")
    unknown = re.search(r"unknown field `([^`]*)`", what)
    if unknown:
        name = unknown[1]
        key = f"{path}.{name}".lstrip(".")
        return ConfigError(f"{key}: no such setting{nearest(name, _keys_at(path))}", key)
    missing = re.search(r"missing required field `([^`]*)`", what)
    if missing:
        key = f"{path}.{missing[1]}".lstrip(".")
        return ConfigError(f"{key}: required, and not given", key)
    return ConfigError(f"{path}: {what[0].lower() + what[1:]}", path or None)


def _keys_at(path: str) -> list[str]:
    here: Any = _File
    for part in filter(None, path.split(".")):
        types = {f.name: f.type for f in msgspec.structs.fields(here)}
        inner = types.get(part)
        inner = next(
            (a for a in getattr(inner, "__args__", ()) if hasattr(a, "__struct_fields__")), inner
        )
        if not hasattr(inner, "__struct_fields__"):
            return []
        here = inner
    return [field.name for field in msgspec.structs.fields(here)]


STARTER = """\
# bandit-router: settings. Every key here is optional but the models; the environment variable
# BANDIT_ROUTER_<TABLE>_<KEY> overrides a key of a table.

[[models]]                    # one block a model, cheapest first or in any order
name = "small"
input_usd_per_m = 0.10        # list prices, US dollars per million tokens
output_usd_per_m = 0.40

[[models]]
name = "large"
input_usd_per_m = 2.50
output_usd_per_m = 10.00
# quality_prior = 0.8         # a guess of its mean quality, washed out by feedback
# similar_to = "small"        # what it is expected to be like until feedback says otherwise
# context_tokens = 128000
# supports = ["tools", "json"]

# [[models.endpoints]]        # where `large` is served; one block a place, see docs/providers.md
# base_url = "https://api.example.com/v1"
# api_key_env = "LARGE_API_KEY"
# model = "name-at-the-provider"

[server]
host = "127.0.0.1"
port = 8080

[embedder]
name = "minilm"               # or "static", a sentence-transformers name or folder,
                              # "openai:MODEL", "none": bring vectors

[clusterer]
name = "dbstream"             # or kmeans, streamkmeans, clustream, denstream: the finest level
resolutions = [1.1, 0.9]      # radii of the map's levels, coarsest first
max_clusters = 1024           # a level; the closest are merged above it
half_life = 50000             # prompts until an unvisited cluster has lost half its weight
fading = "prompts"            # or "time": half_life is in seconds
names = false                 # true: call regions by words that several of their prompts have

[bandit]
strategy = "thompson"         # or fixed:MODEL, linucb, llm-judge ...: see docs/strategies.md
# shadows = ["linucb"]        # their choices are logged beside it: see docs/shadow-and-canary.md
cost_weight = 0.1             # utility = quality - cost_weight * cost / reference cost
# reference_cost_usd = 0.001  # default: the mean cost of the dearest model

[signals]                     # what the gateway tells of its answers by itself: docs/feedback.md
implicit = true               # users who ask the same again, or go on
# check = "mymodule:check"    # a function that says how good an answer is

# [answer_judge]              # an LLM that grades a share of the answers
# share = 0.05
# base_url = "https://api.openai.com/v1"
# api_key_env = "OPENAI_API_KEY"
# model = "gpt-5-mini"
# usd_per_day = 1.0

[store]
path = "bandit-router.db"
keep_prompts = false          # the text of prompts; length and hash are always kept
# prompt_days = 30            # how long their text is kept
# keep_days = 365             # older events fold into a checkpoint: what was learnt stays
# redact = "mymodule:scrub"   # a function that prompts go through before anything is kept
"""
"""What `bandit-router init` writes."""
