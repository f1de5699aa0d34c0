"""Tenants: whole services of their own in one process, told apart by the API key of a request.

Nothing is shared but the process, the address and the embedder: every tenant has an application,
and so an engine, keys, metrics and pages, over a database of its own. A request is handed to the
application whose key it brings before anything else has looked at it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ..exceptions import ConfigError, StoreError
from ..store.keys import id_of
from .errors import Refused, Unavailable
from .keyring import presented
from .keys import ENGINE
from .links import PATH as SIGNED
from .links import TENANT

log = logging.getLogger(__name__)

_READY = "/readyz"


class Tenants:
    """The applications of tenants, beside that of the deployment itself.

    Parameters
    ----------
    apps
        By the tenants' names.
    """

    def __init__(self, apps: Mapping[str, web.Application]) -> None:
        self._apps = apps
        self._runners = {name: web.AppRunner(app) for name, app in apps.items()}
        self._owners: dict[str, str | None] = {}  # by the public part of a key, which never moves

    async def run(self, app: web.Application) -> AsyncIterator[None]:
        """Start the applications, and clean up after them (`cleanup_ctx`)."""
        async with AsyncExitStack() as started:
            for name, runner in self._runners.items():
                started.push_async_callback(runner.cleanup)
                try:
                    await runner.setup()
                except ConfigError as error:
                    field = f"tenants.{name}.{error.field or ''}".rstrip(".")
                    raise ConfigError(f"tenants.{name}.{error}", field) from error
            yield

    async def end_streams(self, app: web.Application) -> None:
        """Let go of requests that would never end (`on_shutdown`)."""
        for runner in self._runners.values():
            await runner.shutdown()

    def middleware(self) -> Middleware:
        """Return the middleware that hands a request to the application that it is for."""

        @web.middleware
        async def by_key(request: web.Request, handler: Handler) -> web.StreamResponse:
            name = self._of(request)
            if name is None:
                return await handler(request)
            server = self._runners[name].server
            assert server is not None
            return await server.request_handler(request)

        return by_key

    def _of(self, request: web.Request) -> str | None:
        """Return the tenant that a request is for; None: the deployment itself."""
        if request.path == SIGNED:
            name = request.query.get(TENANT)
            return name if name in self._apps else None
        id_ = id_of(presented(request))
        if id_ is None:
            if request.path == _READY:  # of those who ask without a key it is about the process
                for app in self._apps.values():
                    app[ENGINE].check_ready()
            return None
        if id_ not in self._owners:
            found = self._owner(request.app, id_)
            if not found:
                return None
            self._owners[id_] = found[0]
        return self._owners[id_]

    def _owner(self, deployment: web.Application, id_: str) -> list[str | None]:
        """Return whose a key is: nobody's, or of one."""
        found: list[str | None] = []
        unread = False
        for name, app in [(None, deployment), *self._apps.items()]:
            try:
                keys = app[ENGINE].keyring.keys()
            except StoreError as error:  # no concern of the others, and nothing to tell them
                log.error("the API keys of %s cannot be read: %s", name or "the deployment", error)
                unread = True
            else:
                found += [name] if id_ in keys else []
        if unread and not found:
            raise Unavailable("not all API keys can be read now: try again")
        if len(found) > 1:
            raise Refused(
                401,
                "this API key is known to more than one tenant, whose databases must be copies of "
                "one: make each a new one",
            )
        return found


async def go_ahead_was_given(request: web.Request) -> None:
    """Answer `Expect: 100-continue` with nothing: the deployment has, before it asked whose it is.

    There are clients that send their body at each word to go ahead.
    """
