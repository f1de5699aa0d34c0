"""Who is to answer: the model that is named, or those that a decision ranks."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

import msgspec
from aiohttp import web

from ...config import AUTO
from ...exceptions import InvalidInput, NoEligibleArm, UnknownModel
from ...providers import Call, Fleet, Json
from ...router import Router
from ...types import Decision, Model, Need, Request
from ..access import caller
from ..keys import ENGINE, FLEET
from ..pins import PIN, refuse_contradiction, with_pins
from ..routing import texts_of_messages
from ..wire import Demo, Message


@dataclass(frozen=True)
class Target:
    """Models in order of preference; the decision that ranked them, None if one was named.

    An answer must wait until the decision is `written`.
    """

    order: list[Model]
    decision: Decision | None = None
    demo: Demo | None = None
    written: Awaitable[None] | None = None


async def target(request: web.Request, call: Call, model: str, user: str | None) -> Target:
    """Return who is to answer.

    Raises
    ------
    InvalidInput
        If nobody can; see `Router.decide` too.
    """
    engine = request.app[ENGINE]
    router = await engine.wait()
    named = router.models.get(model)
    if named is not None and model != AUTO:
        if not named.endpoints:
            raise InvalidInput(f"{model!r} has no endpoint: it cannot be served", "model")
        refuse_contradiction(request, model, router.models)
        return Target([named])
    profile = _profile(model, router)
    among = next((p.models for p in router.settings.profiles if p.name == profile), None)
    if router.killed is not None and PIN not in request.headers:
        among = (router.killed.model,)
    chat = call.chat()
    text, meaning = texts_of_messages(
        _messages(call, chat), router.settings.server.max_prompt_chars
    )
    wanted = Request(
        models=_servable(router, call, request.app[FLEET], among, engine.demo),
        profile=profile,
        needs=_needs(chat),
        user=user,
        session_id=call.session,
        key=caller(request),
    )
    wanted = with_pins(request, wanted, router.models)
    (decision, demo), written = await engine.decide(text, meaning=meaning, request=wanted)
    ranked = sorted(
        decision.candidates,
        key=lambda c: (c.model != decision.model, -(c.utility or 0.0), -c.propensity),
    )
    order = [router.models[c.model] for c in ranked if c.model in router.models]
    return Target(order, decision, demo, written)


def named_model(request: web.Request, model: str, what: str) -> Target:
    """Return the model that is named, for what is not routed.

    Raises
    ------
    InvalidInput
        If it is none, or cannot be served.
    """
    found = request.app[ENGINE].router.models.get(model)
    if found is None:
        raise UnknownModel(f"no model {model!r}; {what} are not routed: name one", "model")
    if not found.endpoints:
        raise InvalidInput(f"{model!r} has no endpoint: it cannot be served", "model")
    return Target([found])


def _messages(call: Call, chat: Json) -> list[Message]:
    """Return the conversation; what of it is odd in the words of another API is odd here too."""
    try:
        return msgspec.convert(chat["messages"], list[Message])
    except msgspec.ValidationError as error:
        field = "input" if call.form == "responses" else "messages"
        what = str(error).partition(" - at")[0]
        raise InvalidInput(f"{field}: {what[0].lower()}{what[1:]}", field) from None


def _profile(name: str, router: Router) -> str | None:
    if name == AUTO:
        return None
    if any(profile.name == name for profile in router.settings.profiles):
        return name
    raise UnknownModel(f"no model or profile {name!r}; {AUTO!r} routes", "model")


def _servable(
    router: Router, call: Call, fleet: Fleet, among: tuple[str, ...] | None, demo: bool
) -> tuple[str, ...]:
    """Return the models that can be asked: of those `among`, those that are well."""
    models = [model for name, model in router.models.items() if among is None or name in among]
    if demo:
        return tuple(model.name for model in models)
    models = [model for model in models if any(map(call.fits, model.endpoints))]
    if not models:
        bound = call.bound()
        field = "model" if bound is None else bound[1]
        what = f"{field}: an endpoint of kind {bound[0]!r} is needed" if bound else "no endpoint"
        which = "no model" if among is None else f"none of {', '.join(map(repr, among))}"
        raise NoEligibleArm(f"{which} can be served here: {what}", field)
    well = [model for model in models if fleet.infirmary.ready(model)]
    return tuple(model.name for model in well or models)  # an outage of all is tried all the same


def _needs(chat: Json) -> tuple[Need, ...]:
    """Return what a model must be able to do for this request."""
    needs: list[Need] = []
    if chat.get("tools") or chat.get("functions"):
        needs.append("tools")
    if isinstance(kind := chat.get("response_format"), dict) and kind.get("type") != "text":
        needs.append("json")
    contents = [message.get("content") for message in chat["messages"]]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    if any(part.get("type") == "image_url" for part in parts):
        needs.append("vision")
    return tuple(needs)
