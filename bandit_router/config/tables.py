"""All tables together, and what a configuration file says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from ..types import Model
from .choosing import BanditSettings, BudgetSettings, ClustererSettings, LLMJudgeSettings, Profile
from .kinds import Table
from .listening import AnswerJudgeSettings, FeedbackSettings, SignalsSettings
from .serving import EmbedderSettings, KeysSettings, ServerSettings, StoreSettings


class Settings(Table, frozen=True):
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
    """Settings and models: what a configuration file says.

    Attributes
    ----------
    tenant
        Whose configuration this is; None: of the file itself.
    tenants
        What `[tenants.NAME]` say, each of them whole: see `config.tenants`.
    """

    settings: Settings = Settings()
    models: tuple[Model, ...] = ()
    tenant: str | None = None
    tenants: dict[str, Config] = msgspec.field(default_factory=dict)


class File(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file itself: the tables, the models beside them, and the tenants' own tables."""

    models: tuple[Model, ...] = ()
    tenants: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)


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


def models_named(settings: Settings) -> Iterator[tuple[str, str]]:
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
