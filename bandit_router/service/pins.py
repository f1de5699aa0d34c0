"""The headers that pin or exclude models for one request."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

import msgspec
from aiohttp import web

from ..eligibility import unknown_model
from ..exceptions import InvalidInput, NoEligibleArm
from ..types import Model, Request

PIN, EXCLUDE = "x-bandit-router-model", "x-bandit-router-exclude"


def pinned(request: web.Request) -> bool:
    """Tell whether the headers of a request say anything of models."""
    return PIN in request.headers or EXCLUDE in request.headers


def with_pins(request: web.Request, asked: Request, models: Mapping[str, Model]) -> Request:
    """Return what was asked, within what the headers of the request leave.

    A pinned model is the only candidate, so that its propensity is 1.

    Raises
    ------
    InvalidInput
        If a header names no model that there is, or the two contradict each other.
    NoEligibleArm
        If the pinned model is not among those that the request allows.
    """
    if not pinned(request):
        return asked
    pins, excluded = (_names(request, header, models) for header in (PIN, EXCLUDE))
    if len(pins) > 1:
        raise InvalidInput(f"{PIN} pins one model, not {len(pins)}", PIN)
    for pin in pins:
        if pin in excluded:
            raise InvalidInput(f"{pin!r} is both pinned and excluded", EXCLUDE)
        if asked.models is not None and pin not in asked.models:
            raise NoEligibleArm(f"{pin!r} is pinned, but cannot be had for this request", PIN)
    return msgspec.structs.replace(
        asked, models=pins or asked.models, exclude=(*asked.exclude, *excluded)
    )


def refuse_contradiction(request: web.Request, model: str, models: Mapping[str, Model]) -> None:
    """Refuse a request whose body names one model and whose headers ask for another.

    Raises
    ------
    InvalidInput
        Naming the header.
    """
    if model in _names(request, EXCLUDE, models):
        raise InvalidInput(f"{model!r} is asked for and excluded", EXCLUDE)
    if (pins := _names(request, PIN, models)) and model not in pins:
        raise InvalidInput(f"{model!r} is asked for, and {pins[0]!r} is pinned", PIN)


def _names(request: web.Request, header: str, models: Mapping[str, Model]) -> tuple[str, ...]:
    """Return the names in a header, with commas between; odd characters percent-encoded."""
    found = []
    for value in request.headers.getall(header, []):
        for part in value.split(","):
            name = part.strip()
            found.append(name if name in models else unquote(name))
    for name in found:
        if not name.strip():
            raise InvalidInput(f"{header} must name a model", header)
        if name not in models:
            raise unknown_model(name, models, header)
    return tuple(dict.fromkeys(found))
