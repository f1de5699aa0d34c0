"""API keys over HTTP."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ...store.keys import Scope
from .bounds import Answer, Body, Label, Limit


class KeyRequest(Body, frozen=True, kw_only=True):
    """An API key to make. The first of all needs scope `admin`, and to be confirmed."""

    name: Label
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)] = ("route", "feedback")
    requests_per_minute: Limit | None = None
    usd_per_day: Limit | None = None
    usd_total: Limit | None = None
    paced: bool = True
    confirm: str = ""


class KeyAnswer(Answer, frozen=True, kw_only=True):
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


class KeysAnswer(Answer, frozen=True, kw_only=True):
    """Every API key, oldest first."""

    keys: list[KeyAnswer]
