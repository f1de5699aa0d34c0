"""The endpoints of the gateway: OpenAI's and Anthropic's own paths."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from ...config import AUTO
from ...exceptions import InvalidInput
from ...providers import Call, count
from ...store.keys import Scope
from .. import body
from ..demo.answer import completion
from ..errors import Refused
from ..keys import ENGINE
from ..openapi import Operation
from ..wire import ModelList, ModelListed, TokenCount
from .asked import (
    ChatRequest,
    CountRequest,
    EmbeddingsRequest,
    MessagesRequest,
    ResponsesRequest,
    asked,
)
from .serving import demonstrate, serve
from .target import named_model, target

_BAD_DAYS = (429, 502, 503, 504)
_SCOPES: tuple[Scope, ...] = ("route",)


async def chat(request: web.Request) -> web.StreamResponse:
    """Answer a conversation by the model that has earned it, or by the one that is named."""
    checked, call = await asked(request, ChatRequest, "chat")
    return await _routed(request, call, checked.model, checked.user)


async def responses(request: web.Request) -> web.StreamResponse:
    """The same in the form of OpenAI's Responses API."""
    checked, call = await asked(request, ResponsesRequest, "responses")
    if checked.previous_response_id and checked.model not in request.app[ENGINE].router.models:
        raise InvalidInput(
            "previous_response_id: only the model that made a response knows it; name that model, "
            "or send the whole conversation as input",
            "previous_response_id",
        )
    return await _routed(request, call, checked.model, checked.user)


async def messages(request: web.Request) -> web.StreamResponse:
    """The same in the form of Anthropic's Messages API."""
    checked, call = await asked(request, MessagesRequest, "messages")
    user = checked.user or (checked.metadata.user_id if checked.metadata else None)
    return await _routed(request, call, checked.model, user)


async def count_tokens(request: web.Request) -> web.Response:
    """Estimate how many tokens a Messages request has."""
    _, call = await asked(request, CountRequest, "messages")
    return body.answer(TokenCount(input_tokens=count(call.raw)))


async def embeddings(request: web.Request) -> web.StreamResponse:
    """Pass a request for embeddings on to the model that is named."""
    await request.app[ENGINE].wait()
    checked, call = await asked(request, EmbeddingsRequest, "embeddings")
    return await serve(request, call, named_model(request, checked.model, "embeddings"))


async def list_models(request: web.Request) -> web.Response:
    """List `auto`, the profiles, and every model that can be served."""
    listed = await _listed(request)
    return body.answer(ModelList(data=listed, first_id=listed[0].id, last_id=listed[-1].id))


async def one_model(request: web.Request) -> web.Response:
    """Return one of what can be asked for."""
    name = body.path_text(request, "name")
    for model in await _listed(request):
        if model.id == name:
            return body.answer(model)
    raise Refused(404, f"no model {name!r}", "model")


async def _routed(
    request: web.Request, call: Call, model: str, user: str | None
) -> web.StreamResponse:
    found = await target(request, call, model, user)
    if request.app[ENGINE].demo and found.decision is not None:
        return await demonstrate(request, call, found, completion(found.decision, found.demo))
    return await serve(request, call, found)


async def _listed(request: web.Request) -> list[ModelListed]:
    engine = request.app[ENGINE]
    router = await engine.wait()
    names = [AUTO, *(profile.name for profile in router.settings.profiles)]
    names += [name for name, model in router.models.items() if model.endpoints or engine.demo]
    return [ModelListed(id=name, display_name=name) for name in dict.fromkeys(names)]


_answers = partial(Operation, method="POST", errors=_BAD_DAYS, scopes=_SCOPES)
_lists = partial(Operation, method="GET", scopes=_SCOPES)

OPERATIONS = (
    _answers(
        path="/v1/chat/completions",
        handler=chat,
        summary="Answer a conversation by the model that has earned it (OpenAI-compatible)",
        body=ChatRequest,
    ),
    _answers(
        path="/v1/responses",
        handler=responses,
        summary="The same in the form of OpenAI's Responses API",
        body=ResponsesRequest,
    ),
    _answers(
        path="/v1/messages",
        handler=messages,
        summary="The same in the form of Anthropic's Messages API",
        body=MessagesRequest,
    ),
    _answers(
        path="/v1/messages/count_tokens",
        handler=count_tokens,
        summary="An estimate of the tokens of a Messages request",
        body=CountRequest,
        answer=TokenCount,
        errors=(503,),
    ),
    _answers(
        path="/v1/embeddings",
        handler=embeddings,
        summary="Embeddings of the model that is named (OpenAI-compatible)",
        body=EmbeddingsRequest,
    ),
    _lists(
        path="/v1/models",
        handler=list_models,
        summary="List what can be asked for (OpenAI's and Anthropic's form in one)",
        answer=ModelList,
        errors=(503,),
    ),
    _lists(
        path="/v1/models/{name:.+}",
        handler=one_model,
        summary="One of what can be asked for",
        answer=ModelListed,
        errors=(404, 503),
    ),
)
