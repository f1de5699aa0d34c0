"""What the configuration changes in the router that a log stands for."""

from __future__ import annotations

import msgspec

from ..config import Config, check_names
from ..embedding import Embedder
from ..router import Router
from ..store import Log, restore
from ..types import Change, Model

FILE = "file"
"""Where a ``configured`` event keeps the models that the configuration named."""


def configured(store: Log, config: Config, embedder: Embedder | None) -> Router:
    """Return the router that the log stands for, the configuration's changes written and folded.

    Slow with a long log: call it off the event loop.
    """
    if not store.last_seq():
        router = fresh(store, config, embedder)
        store.append([router.initial])
        return router
    router = restore(store, embedder)
    change = reconcile(router, config, _last_configured(store))
    if change is not None:
        store.append([change], router.apply(change))
    return router


def fresh(store: Log, config: Config, embedder: Embedder | None) -> Router:
    """Return a router that has learnt nothing; a wrong setting or model shows here."""
    return Router(
        config.models,
        settings=config.settings,
        embedder=embedder,
        recall=store.recall,
    )


def reconcile(router: Router, config: Config, last: Change | None) -> Change | None:
    """Return the event that brings a restored router to what the configuration now says.

    The configuration is compared with what it said last, not with the router: what it alters
    holds; a model that it newly names is added; one that it no longer names is removed; what
    was added, altered or removed at run time stays as long as the configuration says of it
    what it said before.

    Parameters
    ----------
    last
        The log's last ``configured`` event.
    """
    said = _said(last)
    wanted = {model.name: model for model in config.models}
    if said == wanted and router.settings == config.settings:
        return None
    arms = {
        name: model for name, model in router.models.items() if name in wanted or name not in said
    }
    arms |= {name: model for name, model in wanted.items() if said.get(name) != model}
    check_names(arms, config.settings.profiles)
    change = router.configuration(config.settings, list(arms.values()))
    body = {**change.body, FILE: msgspec.to_builtins(config.models)}
    return msgspec.structs.replace(change, body=body)


def _said(last: Change | None) -> dict[str, Model]:
    if last is None:
        return {}
    models = msgspec.convert(last.body.get(FILE, last.body["models"]), tuple[Model, ...])
    return {model.name: model for model in models}


def _last_configured(store: Log) -> Change | None:
    last: Change | None = None
    for event in store.events(kind="change"):
        if isinstance(event, Change) and event.what == "configured":
            last = event
    return last
