"""Which arms a request leaves to choose among, and why none is left if so."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping

import msgspec

from .config import Profile, nearest
from .exceptions import InvalidInput, NoEligibleArm, UnknownModel
from .policies import Context, Policy
from .types import Model, Request

_CHARS_PER_TOKEN = 4
_LIMITS = ("cost_usd", "latency_ms")
_MOST = (
    ("cost_weight", 1e9),  # as in the settings, see `config.Weight`
    ("latency_weight", 1e9),
    ("max_cost_usd", sys.float_info.max),
    ("max_latency_ms", sys.float_info.max),
)


ANYTHING = Request()
"""What a caller asks who asks for nothing in particular."""


def profile_of(request: Request, profiles: Iterable[Profile]) -> Profile | None:
    """Return the profile that a request names, None if it names none.

    Raises
    ------
    InvalidInput
        If there is no such profile.
    """
    if request.profile is None:
        return None
    known = {profile.name: profile for profile in profiles}
    profile = known.get(request.profile)
    if profile is None:
        raise InvalidInput(
            f"no profile {request.profile!r}{nearest(request.profile, known)}", "profile"
        )
    return profile


def with_profile(request: Request, profile: Profile | None, models: Mapping[str, Model]) -> Request:
    """Return `request` with what its profile says where it says nothing itself.

    Of the profile's models those count that are still there.
    """
    if profile is None:
        return request
    given = {
        key: getattr(profile, key)
        for key in ("cost_weight", "latency_weight", "models")
        if getattr(request, key) is None
    }
    if given.get("models") is not None:
        given["models"] = tuple(name for name in given["models"] if name in models)
    return msgspec.structs.replace(request, **given)


class Roster:
    """The models there are, and what of the choice among them no request can alter.

    Attributes
    ----------
    arms
        Those that are available.
    chars
        Of the longest prompt that each of them takes.
    """

    def __init__(self, models: Mapping[str, Model]) -> None:
        self.models = models
        there = [m for m in models.values() if m.available]
        self.arms = tuple(m.name for m in there)
        takes = [m.context_tokens for m in there if m.context_tokens is not None]
        self.chars = _CHARS_PER_TOKEN * min(takes, default=math.inf)


def eligible_arms(roster: Roster, request: Request, prompt: str | None) -> tuple[str, ...]:
    """Return the available models that the request allows and that can do what it needs.

    Raises
    ------
    UnknownModel
        If the request names a model that there is not.
    InvalidInput
        If one of its numbers cannot be used.
    NoEligibleArm
        If none is left; `field` names the constraint.
    """
    anything = request is ANYTHING or request == ANYTHING
    if anything and roster.arms and len(prompt or "") <= roster.chars:
        return roster.arms
    models = roster.models
    arms = [models[name] for name in roster.arms]
    if not anything:
        arms = _allowed(arms, models, request)
    if not arms:
        raise NoEligibleArm("no model is available for this request", "models")
    if prompt:
        tokens = len(prompt) / _CHARS_PER_TOKEN
        arms = [m for m in arms if m.context_tokens is None or m.context_tokens >= tokens]
    if not arms:
        raise NoEligibleArm("the prompt is longer than any of the models takes", "prompt")
    return tuple([m.name for m in arms])


def _allowed(arms: list[Model], models: Mapping[str, Model], request: Request) -> list[Model]:
    """Return those of `arms` that a request allows, and that can do what it needs."""
    for field in ("models", "exclude"):
        for name in getattr(request, field) or ():
            if name not in models:
                raise unknown_model(name, models, field)
    check_request(request)
    if request.models is not None:
        wanted = set(request.models)
        arms = [m for m in arms if m.name in wanted]
    if not arms:
        raise NoEligibleArm("no model is available for this request", "models")
    if request.exclude:
        arms = [m for m in arms if m.name not in request.exclude]
    if not arms:
        raise NoEligibleArm("every model that the request allows is excluded", "exclude")
    if request.needs:
        arms = [m for m in arms if set(request.needs) <= set(m.supports)]
    if not arms:
        raise NoEligibleArm(f"no model supports {', '.join(request.needs)}", "needs")
    return arms


def killed_arms(
    models: Mapping[str, Model], request: Request, prompt: str | None, killed: str
) -> tuple[str, ...]:
    """Return the one arm of a request while the kill switch is on: its model, or the one named.

    Parameters
    ----------
    request
        As it was asked: what its profile says does not count.

    Raises
    ------
    NoEligibleArm
        If the request does not allow that model: none stands in for it. Else as `eligible_arms`.
    """
    named = request.models
    if named is not None and len(named) == 1 and named[0] != killed:
        return eligible_arms(Roster(models), request, prompt)
    why = f"the kill switch gives every request to {killed!r}"
    if killed not in models:
        raise NoEligibleArm(f"{why}, which is no model: take the switch back", "models")
    if named is not None and killed not in named:
        raise NoEligibleArm(f"{why}, which is not among its models", "models")
    served = msgspec.structs.replace(models[killed], available=True)
    request = msgspec.structs.replace(request, models=(killed,))
    try:
        return eligible_arms(Roster({**models, killed: served}), request, prompt)
    except NoEligibleArm as error:
        raise NoEligibleArm(f"{why}: {error}", error.field) from None


def within_limits(context: Context, request: Request, policy: Policy) -> Context:
    """Leave out arms that are expected to cost or take more than the request allows.

    Raises
    ------
    NoEligibleArm
        If none is left; `field` names the limit.
    """
    expected = policy.expected(context)
    for key in _LIMITS:
        limit = getattr(request, f"max_{key}")
        if limit is None:
            continue
        value = {arm: getattr(expected.get(arm), key, None) for arm in context.arms}
        known = [v for v in value.values() if v is not None]
        arms = tuple(a for a in context.arms if value[a] is None or value[a] <= limit)
        if not arms:
            raise NoEligibleArm(
                f"max_{key}: every model is expected to be above {limit:g} "
                f"(the least is {min(known):.3g})",
                f"max_{key}",
            )
        context = msgspec.structs.replace(context, arms=arms)
    return context


def affordable(context: Context, limit_usd: float, policy: Policy) -> Context:
    """Leave out arms that are expected to cost more than the budget can bear now.

    The cheapest arm is always left: a budget slows spending, it refuses nobody.
    """
    expected = policy.expected(context)
    cost = {arm: expected[arm].cost_usd or 0.0 if arm in expected else 0.0 for arm in context.arms}
    arms = tuple(arm for arm in context.arms if cost[arm] <= limit_usd)
    return msgspec.structs.replace(context, arms=arms or (min(cost, key=cost.__getitem__),))


def check_request(request: Request) -> None:
    """Refuse weights and limits that are negative or too high, and what no log can hold.

    Raises
    ------
    InvalidInput
        With the `field`.
    """
    for field, most in _MOST:
        value = getattr(request, field)
        if value is not None and not 0.0 <= value <= most:
            raise InvalidInput(f"{field} must be between 0 and {most:g}, not {value!r}", field)
    for field in ("metadata", "session_id", "user"):
        if value := getattr(request, field):
            _check_writable(value, field)


def _check_writable(value: object, field: str) -> None:
    try:
        msgspec.msgpack.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):  # ValueError: lone surrogates
        raise InvalidInput(
            f"{field} must be JSON: text, 64-bit numbers, lists and objects", field
        ) from None


def unknown_model(name: str, models: Iterable[str], field: str) -> UnknownModel:
    """Return the error for a model that there is not, with the nearest that there is."""
    return UnknownModel(f"no model {name!r}{nearest(name, models)}", field)
