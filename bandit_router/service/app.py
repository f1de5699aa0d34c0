"""The aiohttp application, and running it until it is told to stop."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import sys
from collections.abc import AsyncIterator, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import click
from aiohttp import web

from ..config import Config
from ..embedding import Embedder
from ..exceptions import ConfigError, StoreError
from ..providers import Fleet, check_installed, with_list_prices
from ..store import Place, is_shared, need_psycopg, open_keys
from . import (
    apikeys,
    body,
    browsers,
    clusters,
    endpoints,
    feedback,
    gateway,
    killswitch,
    models,
    operations,
    page,
    routing,
    scrape,
    signals,
)
from .access import guard
from .advisor import Advisor
from .demo import demo_config
from .errors import errors_as_json
from .gateway.record import DECISION
from .keys import CONNECTIONS, ENGINE, FLEET, METRICS, OPENAPI, WATCH
from .metrics import Metrics
from .openapi import document
from .opening import OUTBOX, embedder_of, named, open_engine
from .overload import Connections, bounded
from .scrape import Gauges
from .shared import check_shareable, kept_keys
from .telemetry import configure_logging, observed
from .tracing import configure_tracing
from .version import version
from .watch import Watch

if TYPE_CHECKING:
    from .shared.learner import Learner

OPERATIONS = (
    *operations.OPERATIONS,
    *scrape.OPERATIONS,
    *routing.OPERATIONS,
    *gateway.OPERATIONS,
    *feedback.OPERATIONS,
    *models.OPERATIONS,
    *endpoints.OPERATIONS,
    *killswitch.OPERATIONS,
    *apikeys.OPERATIONS,
    *clusters.OPERATIONS,
    *signals.OPERATIONS,
)
"""Every endpoint."""

SERVER: dict[str, Any] = {
    "access_log": None,
    "auto_decompress": False,  # compressed bodies are refused: no small one may unfold to a big one
}
"""How aiohttp serves the application."""


def create_app(
    config: Config,
    *,
    db: Place,
    demo: bool = False,
    embedder: Embedder | None = None,
    outbox: Path | None = None,
    learns: bool = True,
) -> web.Application:
    """Return the application; the database is opened when it starts.

    Parameters
    ----------
    config
        Settings and models.
    db
        The database file; made if it is not there. Or the URL of a PostgreSQL database that other
        processes may use too: see docs/scale-out.md.
    demo
        Route the bundled demo fleet instead of the models of `config`.
    embedder
        Text to vector; None for the one that the settings name.
    outbox
        With a shared database, the file that keeps what it has not got yet; None:
        ``bandit-router-outbox.db``.
    learns
        With a shared database, whether this process is a candidate for the learner.

    Raises
    ------
    StoreError
        At its start, if the database cannot be opened (`StoreHeld`: another process writes).
    ConfigError
        At its start, if a setting or a model cannot be used.
    """
    if demo:
        config = demo_config(config)
    check_installed(config.models)
    config = with_list_prices(config)
    connections = Connections(config.settings.server)
    app = web.Application(
        middlewares=[
            observed(),
            browsers.cors(config.settings.server.cors_origins),
            errors_as_json,
            bounded(config.settings.server, connections),
            guard(OPERATIONS, page.PUBLIC),
        ],
        client_max_size=config.settings.server.max_body_bytes,
    )
    app.add_routes([web.route(o.method, o.path, o.handler) for o in OPERATIONS])
    app.add_routes(page.ROUTES)
    app.on_response_prepare.extend([browsers.secure, browsers.allow, _link_feedback])
    app[CONNECTIONS] = connections
    app[body.BODY_SECONDS] = config.settings.server.body_timeout_s
    app[OPENAPI] = document(OPERATIONS, version=version())

    async def engine(app: web.Application) -> AsyncIterator[None]:
        app[ENGINE] = open_engine(config, db, embedder=embedder, demo=demo, outbox=outbox)
        app[ENGINE].listen(app[METRICS].written)
        app[ENGINE].start()
        yield
        await app[ENGINE].close()

    async def learner(app: web.Application) -> AsyncIterator[None]:
        candidate = open_learner(config, str(db), embedder)
        candidate.start()
        yield
        await asyncio.to_thread(candidate.close)

    app[METRICS] = Metrics()
    app[METRICS].registry.register(Gauges(app))

    async def watch(app: web.Application) -> AsyncIterator[None]:
        app[WATCH] = Watch(app[ENGINE])
        yield
        await asyncio.to_thread(app[WATCH].save)

    async def end_streams(app: web.Application) -> None:
        await app[WATCH].close()

    async def fleet(app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            app[FLEET] = Fleet(session, config.settings.server.upstream_timeout_s)
            app[ENGINE].world.ready = app[FLEET].infirmary.ready
            app[ENGINE].world.advisor = Advisor(session, config.settings.llm_judge)
            async with signals.attached(app, session):
                yield

    if is_shared(db) and learns:
        app.cleanup_ctx.append(learner)  # first, so that it ends last
    app.cleanup_ctx.append(engine)
    app.cleanup_ctx.append(watch)
    app.cleanup_ctx.append(fleet)
    gateway.prepare(app)
    app.on_shutdown.append(end_streams)  # before open requests are waited for
    return app


def run(
    config: Config,
    *,
    db: Place,
    demo: bool = False,
    host: str | None = None,
    port: int | None = None,
    allow_open: bool = False,
    embedder: Embedder | None = None,
    outbox: Path | None = None,
    learns: bool = True,
    echo: Callable[[str], object] = click.echo,
) -> None:
    """Serve until SIGINT or SIGTERM, then save a snapshot and return.

    Parameters
    ----------
    config, db, demo, embedder, outbox, learns
        See `create_app`.
    host, port
        Where to listen; None for what the settings say, port 0 for any free one.
    allow_open
        Listen beyond loopback also without any API key.
    echo
        Takes the one line that says where it listens.

    Raises
    ------
    StoreError, ConfigError
        See `create_app`.
    OSError
        If the address cannot be listened on.
    """
    server = config.settings.server
    host = server.host if host is None else host
    port = server.port if port is None else port
    if not (allow_open or config.settings.keys.allow_open):
        _refuse_open(host, db, outbox or OUTBOX)
    configure_logging(server.log_format, server.log_level)
    configure_tracing()
    app = create_app(config, db=db, demo=demo, embedder=embedder, outbox=outbox, learns=learns)
    with asyncio.Runner(loop_factory=loop_factory(server.event_loop)) as runner:
        runner.run(_serve(app, host, port, server.shutdown_s, echo))


def learn(config: Config, *, db: str, demo: bool = False) -> None:
    """Be a candidate for the learner of a shared database, until SIGINT or SIGTERM.

    Raises
    ------
    StoreError, ConfigError
        See `create_app`.
    """
    candidate = open_learner(demo_config(config) if demo else config, db)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: candidate.stop())
    candidate.run()


def open_learner(config: Config, url: str, embedder: Embedder | None = None) -> Learner:
    """Return a candidate for the learner of a shared database; see `shared.learner`."""
    need_psycopg()
    check_shareable(config)
    from .shared.learner import Learner

    embedder = embedder or embedder_of(config)
    config = with_list_prices(config)
    return Learner(url, config if embedder is None else named(config, embedder.name), embedder)


def _refuse_open(host: str, db: Place, outbox: Path = OUTBOX) -> None:
    """Refuse to listen where others can reach, while nobody is asked for a key."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if loopback:
        return
    try:
        with open_keys(db) as keys:
            if keys.all():
                return
    except StoreError:  # a replica starts also while the database is away, from what it kept
        if not is_shared(db) or not kept_keys(outbox):
            raise
        return
    raise ConfigError(
        f"server.host: {host} can be reached by others, and there is no API key: make one "
        "(bandit-router keys add NAME --db FILE), or say that everybody may (--allow-open)",
        "server.host",
    )


async def _link_feedback(request: web.Request, response: web.StreamResponse) -> None:
    """Put a signed link beside the id of a decision (`on_response_prepare`)."""
    id_ = response.headers.get(DECISION)
    if id_ and (link := request.app[ENGINE].links.make(id_)):
        response.headers["x-bandit-router-feedback-url"] = link


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop of that name; None for asyncio's own.

    Raises
    ------
    ConfigError
        If uvloop is asked for and not installed.
    """
    if name == "asyncio" or (name == "auto" and find_spec("uvloop") is None):
        return None
    try:
        import uvloop
    except ImportError:
        raise ConfigError(
            "server.event_loop: uvloop is not installed: pip install 'bandit-router[uvloop]', "
            "or take 'asyncio'",
            "server.event_loop",
        ) from None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve(
    app: web.Application, host: str, port: int, grace: float, echo: Callable[[str], object]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    # The thread that writes to the disk need not wait 5 ms for the interpreter when all is busy.
    sys.setswitchinterval(0.001)
    # A client that leaves ends the call that is made for it.
    runner = web.AppRunner(app, handler_cancellation=True, **SERVER, shutdown_timeout=grace)
    connections = app[CONNECTIONS]
    listener: asyncio.Server | None = None
    watch = loop.create_task(connections.watch())
    try:
        await runner.setup()
        server = runner.server
        assert server is not None
        listener = await loop.create_server(
            lambda: connections.admit(server), host, port, reuse_address=True, backlog=1024
        )
        name = f"[{host}]" if ":" in host else host
        echo(f"bandit-router listening on http://{name}:{listener.sockets[0].getsockname()[1]}")
        await stop.wait()
    finally:
        watch.cancel()
        if listener is not None:
            listener.close()
        await runner.cleanup()
