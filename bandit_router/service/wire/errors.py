"""Errors."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from .bounds import Answer


class Error(Answer, frozen=True, kw_only=True):
    """What was wrong; `field` names the offending field where there is one."""

    type: str
    message: str
    field: str | UnsetType = UNSET


class ErrorAnswer(Answer, frozen=True, kw_only=True):
    """Every error looks like this."""

    error: Error
