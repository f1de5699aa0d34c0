"""``GET/POST /models`` and ``PATCH/DELETE /models/{name}``: arms at run time."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from ..exceptions import InvalidInput
from ..providers import check_installed, with_list_price
from ..router import Router
from ..types import Model
from ..views import ArmView
from . import body
from .errors import Refused
from .keys import ENGINE
from .openapi import Link, Operation
from .wire import (
    Expected,
    ModelAnswer,
    ModelPatch,
    ModelRemoved,
    ModelRequest,
    ModelsAnswer,
)


async def models(request: web.Request) -> web.Response:
    """Return every arm and what is believed of it."""
    router = await request.app[ENGINE].wait()
    views = {view.model: view for view in router.arms()}
    found = [_answer(model, views.get(name)) for name, model in router.models.items()]
    return body.answer(ModelsAnswer(models=found))


async def add_model(request: web.Request) -> web.Response:
    """Add an arm."""
    asked = await body.read(request, ModelRequest)

    def fields(router: Router) -> dict[str, Any]:
        if asked.name in router.models:
            raise Refused(409, f"there is a model {asked.name!r} already: PATCH it", "name")
        model = msgspec.convert(_builtins(asked), Model)
        check_installed((model,))
        priced: dict[str, Any] = msgspec.to_builtins(with_list_price(model))
        return priced

    return await _set(request, fields, asked.name, status=201)


async def alter_model(request: web.Request) -> web.Response:
    """Alter the given fields of an arm; its evidence stays."""
    name = body.path_text(request, "name")
    asked = await body.read(request, ModelPatch)

    def fields(router: Router) -> dict[str, Any]:
        return {**msgspec.to_builtins(_known(router, name)), **_builtins(asked)}

    return await _set(request, fields, name)


async def remove_model(request: web.Request) -> web.Response:
    """Remove an arm; decisions that chose it stay, and their feedback still counts."""
    name = body.path_text(request, "name")
    engine = request.app[ENGINE]
    await engine.change("model_removed", lambda router: {"name": _known(router, name).name})
    return body.answer(ModelRemoved(name=name))


async def _set(request: web.Request, fields: Any, name: str, status: int = 200) -> web.Response:
    engine = request.app[ENGINE]
    try:
        await engine.change("model_set", fields)
    except InvalidInput as error:
        # The router speaks of models.name, as a configuration file would.
        error.field = (error.field or "").removeprefix("models.") or None
        raise
    router = engine.router
    view = next((v for v in router.arms() if v.model == name), None)
    return body.answer(_answer(router.models[name], view), status=status)


def _builtins(asked: msgspec.Struct) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(asked)  # leaves out what is unset
    return found


def _known(router: Router, name: str) -> Model:
    try:
        return router.models[name]
    except KeyError:
        raise Refused(404, f"no model {name!r}", "name") from None


def _answer(model: Model, view: ArmView | None) -> ModelAnswer:
    return ModelAnswer(
        name=model.name,
        input_usd_per_m=model.input_usd_per_m,
        output_usd_per_m=model.output_usd_per_m,
        cached_input_usd_per_m=model.cached_input_usd_per_m,
        quality_prior=model.quality_prior,
        similar_to=model.similar_to,
        context_tokens=model.context_tokens,
        supports=list(model.supports),
        available=model.available,
        endpoints=list(model.endpoints),
        expected=Expected(
            quality=view.quality if view else None,
            cost_usd=view.cost_usd if view else None,
            latency_ms=view.latency_ms if view else None,
        ),
        quality_interval=view.quality_interval if view else None,
        evidence=view.evidence if view else 0.0,
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/models",
        handler=models,
        summary="Every arm and what is believed of it",
        answer=ModelsAnswer,
        errors=(503,),
    ),
    Operation(
        method="POST",
        path="/models",
        handler=add_model,
        summary="Add an arm",
        body=ModelRequest,
        answer=ModelAnswer,
        status=201,
        errors=(409, 503),
        links=(
            Link("alter_model", "name", "name"),
            Link("remove_model", "name", "name"),
            Link("one_model", "name", "name"),
        ),
    ),
    Operation(
        method="PATCH",
        path="/models/{name:.+}",
        handler=alter_model,
        summary="Alter the given fields of an arm",
        body=ModelPatch,
        answer=ModelAnswer,
        errors=(404, 503),
    ),
    Operation(
        method="DELETE",
        path="/models/{name:.+}",
        handler=remove_model,
        summary="Remove an arm",
        answer=ModelRemoved,
        errors=(404, 422, 503),
    ),
)
