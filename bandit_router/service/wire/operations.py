"""Health, readiness and the index."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from .bounds import Answer


class Health(Answer, frozen=True, kw_only=True):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Freshness(Answer, frozen=True, kw_only=True):
    """How old a replica's state is; decisions go on also from a stale one."""

    stale: bool
    age_s: float | None
    pending: int
    reason: str | None


class Ready(Answer, frozen=True, kw_only=True):
    """The log is folded and the encoder is warm."""

    seq: int
    models: int
    status: Literal["ready"] = "ready"
    freshness: Freshness | UnsetType = UNSET


class Index(Answer, frozen=True, kw_only=True):
    """Where to go from here."""

    version: str
    openapi: str = "/openapi.json"
    name: Literal["bandit-router"] = "bandit-router"
