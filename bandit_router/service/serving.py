"""Running the service until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import signal
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import click
from aiohttp import web

from ..config import Config
from ..embedding import Embedder
from ..exceptions import ConfigError, StoreError
from ..store import Place, is_shared, open_keys, place_of
from .app import SERVER, create_app
from .demo import demo_config
from .engine import Engine
from .errors import Unavailable
from .keys import CONNECTIONS, ENGINE
from .opening import OUTBOX, open_learner
from .shared import kept_keys
from .telemetry import configure_logging
from .tracing import configure_tracing

_YOUNG = 2_000
"""Objects made since garbage was last looked for that let it be looked for again.

Requests leave none: what is looked through is what they need, three objects of each that are held
with its decision. A look then takes half a millisecond, and every tenth two.
"""


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
    """Serve until told to stop (see `stopping`), then save a snapshot and return.

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
    if not (allow_open or config.settings.keys.allow_open or config.tenants):
        refuse_open(host, db, outbox or OUTBOX)
    configure_logging(server.log_format, server.log_level)
    configure_tracing()
    app = create_app(config, db=db, demo=demo, embedder=embedder, outbox=outbox, learns=learns)
    with asyncio.Runner(loop_factory=loop_factory(server.event_loop)) as runner:
        runner.run(serve(app, host, port, server.shutdown_s, echo))


def learn(config: Config, *, db: str, demo: bool = False) -> None:
    """Be a candidate for the learner of a shared database, until told to stop.

    With tenants, for that of each of them.

    Raises
    ------
    StoreError, ConfigError
        See `create_app`.
    """
    server = config.settings.server
    configure_logging(server.log_format, server.log_level)
    candidate = open_learner(demo_config(config) if demo else config, db)
    others = [open_learner(own, str(place_of(name, db))) for name, own in config.tenants.items()]

    def stop(*_: object) -> None:
        for learner in (candidate, *others):
            learner.stop()

    for number in stopping():
        signal.signal(number, stop)
    for other in others:
        other.start()
    candidate.run()
    for other in others:
        other.close()


def stopping() -> list[signal.Signals]:
    """Return the signals that tell the service to stop.

    A terminal that is closed sends SIGHUP; whoever started the service with ``nohup`` wants it to
    be ignored.
    """
    hangs_up = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM] + [signal.SIGHUP] * hangs_up


def refuse_open(host: str, db: Place, outbox: Path = OUTBOX) -> None:
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


async def serve(
    app: web.Application, host: str, port: int, grace: float, echo: Callable[[str], object]
) -> None:
    """Listen, say where, and answer until told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in stopping():
        loop.add_signal_handler(number, stop.set)
    # The threads that write to the disk and encode need the interpreter for moments, several times
    # a batch: while the loop is busy they wait so long for each.
    sys.setswitchinterval(0.0002)
    # A client that leaves ends the call that is made for it.
    runner = web.AppRunner(app, handler_cancellation=True, **SERVER, shutdown_timeout=grace)
    connections = app[CONNECTIONS]
    listener: asyncio.Server | None = None
    watch = loop.create_task(connections.watch())
    sparing: asyncio.Task[None] | None = None
    try:
        await runner.setup()
        sparing = loop.create_task(_spare(app[ENGINE]))
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
        if sparing is not None:
            sparing.cancel()
        if listener is not None:
            listener.close()
        await runner.cleanup()


async def _spare(engine: Engine) -> None:
    """Keep what lives as long as the process out of garbage collection, once it is all there.

    Code, compiled or not, is most of what there is to look through: a full collection would hold
    every request up for a tenth of a second.
    """
    with contextlib.suppress(Unavailable):
        await engine.warm()
        gc.collect()
        gc.freeze()
    gc.set_threshold(_YOUNG, 10, 1000)  # and hardly ever for all that is held
