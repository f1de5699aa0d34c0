"""``POST /route`` and ``GET /decisions/{id}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from ..exceptions import InvalidInput
from ..types import History, Request
from . import body
from .access import caller, is_admin
from .errors import Refused
from .explain import decision_answer, route_answer
from .keys import DECISION_ID, ENGINE
from .openapi import Link, Operation
from .pins import pinned, with_pins
from .wire import DecisionAnswer, DecisionErased, Message, RouteAnswer, RouteRequest

METADATA_BYTES = 16_384
METADATA_DEPTH = 8


async def route(request: web.Request) -> web.Response:
    """Choose a model for a prompt."""
    engine = request.app[ENGINE]
    asked = await body.read(request, RouteRequest)
    text, meaning = _texts(asked, engine.config.settings.server.max_prompt_chars)
    _check_metadata(asked.metadata)
    wanted = Request(
        models=None if asked.models is None else tuple(asked.models),
        cost_weight=asked.cost_weight,
        max_cost_usd=asked.max_cost_usd,
        max_latency_ms=asked.max_latency_ms,
        needs=tuple(asked.needs),
        profile=asked.profile,
        session_id=asked.session_id,
        user=asked.user,
        metadata=asked.metadata,
        key=caller(request),
    )
    if pinned(request):
        wanted = with_pins(request, wanted, (await engine.wait()).models)
    (decision, demo), written = await engine.decide(
        text, meaning=meaning, vector=asked.embedding, request=wanted
    )
    await written
    request[DECISION_ID] = decision.decision_id
    link = engine.links.make(decision.decision_id)
    return body.answer(route_answer(decision, demo, link))


async def decision(request: web.Request) -> web.Response:
    """Say why a model was chosen, and what was said of it since."""
    history = await _own(request)
    return body.answer(decision_answer(history))


async def erase_decision(request: web.Request) -> web.Response:
    """Erase the text, the hash and the metadata of a decision."""
    history = await _own(request)
    id_ = history.decision.decision_id
    await request.app[ENGINE].erase(id_)
    return body.answer(DecisionErased(decision_id=id_))


async def _own(request: web.Request) -> History:
    """Return the decision of the path, if whoever asks made it or may see all."""
    history = await request.app[ENGINE].history(body.path_text(request, "id"))
    if not is_admin(request) and history.decision.request.key != caller(request):
        raise Refused(403, "another key made this decision", "decision_id")
    return history


def _texts(asked: RouteRequest, limit: int) -> tuple[str | None, str | None]:
    """Return the whole text, and what of it is embedded.

    Of a conversation the user's messages are embedded, the newest first: an encoder reads only
    so far, and the newest says most.
    """
    prompt, messages, embedding = asked.prompt, asked.messages, asked.embedding
    if (prompt is not None) + (messages is not None) + (embedding is not None) != 1:
        given = [f for f in ("prompt", "messages", "embedding") if getattr(asked, f) is not None]
        which = f"not {' and '.join(given)}" if given else "and none was given"
        raise InvalidInput(
            f"give exactly one of prompt, messages and embedding, {which}",
            given[1] if given else "prompt",
        )
    if prompt is not None:
        return _checked(prompt, "prompt", limit), prompt
    return (None, None) if messages is None else texts_of_messages(messages, limit)


def texts_of_messages(messages: list[Message], limit: int) -> tuple[str, str]:
    """Return the whole text of a conversation, and what of it is embedded; see `_texts`.

    Where there are only pictures or files, their kinds stand for it.
    """
    heard = [m for m in messages if m.role in ("user", "system", "developer")]
    text = _joined(heard)
    if not text.strip():
        text = " ".join(m.shown for m in heard if m.shown)
    text = _checked(text, "messages", limit)
    meaning = _joined([m for m in reversed(heard) if m.role == "user"])
    return text, meaning if meaning.strip() else text


def _joined(messages: list[Message]) -> str:
    return "\n".join(m.text for m in messages if m.text)


def _checked(text: str, field: str, limit: int) -> str:
    if not text.strip():
        what = "be empty or blank" if field == "prompt" else "all be empty: none says what is asked"
        raise InvalidInput(f"{field} must not {what}", field)
    if len(text) > limit:
        raise InvalidInput(
            f"{field}: {len(text):,} characters, and server.max_prompt_chars is {limit:,}", field
        )
    return text


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    """Refuse what the log could not hold or read again."""
    if not metadata:
        return
    level: list[Any] = [metadata]
    for _ in range(METADATA_DEPTH):
        level = [
            inner
            for here in level
            if isinstance(here, dict | list)
            for inner in (here.values() if isinstance(here, dict) else here)
        ]
    if any(isinstance(here, dict | list) for here in level):
        raise InvalidInput(f"metadata is nested deeper than {METADATA_DEPTH} levels", "metadata")
    try:
        size = len(msgspec.msgpack.encode(metadata))
    except OverflowError:
        raise InvalidInput("metadata holds an integer of more than 64 bits", "metadata") from None
    if size > METADATA_BYTES:
        raise InvalidInput(f"metadata is larger than {METADATA_BYTES:,} bytes", "metadata")


OPERATIONS = (
    Operation(
        method="POST",
        path="/route",
        handler=route,
        summary="Choose a model for a prompt",
        body=RouteRequest,
        answer=RouteAnswer,
        errors=(503,),
        scopes=("route",),
        links=(
            Link("decision", "decision_id", "id"),
            Link("erase_decision", "decision_id", "id"),
            Link("feedback", "decision_id"),
        ),
    ),
    Operation(
        method="GET",
        path="/decisions/{id}",
        handler=decision,
        summary="Why a model was chosen, and what was said of it since",
        answer=DecisionAnswer,
        errors=(404, 503),
        scopes=("route", "admin"),
    ),
    Operation(
        method="DELETE",
        path="/decisions/{id}",
        handler=erase_decision,
        summary="Erase the text, the hash and the metadata of a decision",
        answer=DecisionErased,
        errors=(404, 503),
        scopes=("route", "admin"),
    ),
)
