"""Commands that decide, and what comes before: serve, init, precompile, route."""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from ..exceptions import InvalidInput
from .options import CONFIG, DB, JSON, TENANT, configured, not_blank, plain_errors

if TYPE_CHECKING:
    from ..config import Config
    from ..router import Router
    from ..store import Place


@click.command(epilog="Example: bandit-router serve --config bandit-router.toml --db router.db")
@CONFIG
@click.option("--host", help="Address to listen on [127.0.0.1].")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on [8080].")
@DB
@click.option("--demo", is_flag=True, help="Route a bundled fleet of four models.")
@click.option("--allow-open", is_flag=True, help="Listen beyond loopback without any API key.")
@click.option(
    "--role",
    type=click.Choice(["both", "replica", "learner"]),
    default="both",
    show_default=True,
    help="Over PostgreSQL: answer requests, learn from those of all, or both.",
)
@click.option(
    "--outbox",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Over PostgreSQL: a replica's own file [bandit-router-outbox.db].",
)
@JSON
@plain_errors
def serve(
    config: Path | None,
    host: str | None,
    port: int | None,
    db: Place | None,
    demo: bool,
    allow_open: bool,
    role: str,
    outbox: Path | None,
    as_json: bool,
) -> None:
    """Run the service until Ctrl-C."""
    from ..service import learn, run
    from ..store import is_shared, place_of

    loaded = configured(config)
    if unset := _unset(loaded):
        click.echo(
            f"Not set in the environment: {', '.join(unset)}; "
            "endpoints that need it will not answer.",
            err=True,
        )
    where = db or ("bandit-router-demo.db" if demo else loaded.settings.store.path)
    if not (loaded.models or demo or is_shared(where) or Path(where).exists()):
        click.echo(
            "No models yet: add them with POST /models, give --config FILE "
            "(bandit-router init writes one), or try --demo.",
            err=True,
        )
    for name in loaded.tenants:
        at = "a schema of its own" if is_shared(where) else place_of(name, where)
        click.echo(f"Tenant {name}: {at}", err=True)
    if not is_shared(where) and (role != "both" or outbox is not None):
        raise click.UsageError("--role and --outbox need --db postgresql://...")

    def echo(line: str) -> None:
        url = line.rsplit(" ", 1)[-1]
        click.echo(json.dumps({"listening": url}) if as_json else line)
        if demo and not as_json:
            click.echo(f"The map: {url}/map  The API: {url}/docs  Stop: Ctrl-C", err=True)

    if role == "learner":
        click.echo(f"bandit-router learning from {urlsplit(str(where)).hostname}", err=True)
        learn(loaded, db=str(where), demo=demo)
        return
    run(
        loaded,
        db=where,
        demo=demo,
        host=host,
        port=port,
        allow_open=allow_open,
        outbox=outbox,
        learns=role == "both",
        echo=echo,
    )


def _unset(config: Config) -> list[str]:
    """Return the environment variables of endpoints that hold no key."""
    models = [m for c in (config, *config.tenants.values()) for m in c.models]
    wanted = {e.api_key_env for model in models for e in model.endpoints}
    return sorted(name for name in wanted if name and not os.environ.get(name))


@click.command(epilog="Example: bandit-router init bandit-router.toml")
@click.argument("file", default="bandit-router.toml", type=click.Path(path_type=Path))
@JSON
@plain_errors
def init(file: Path, as_json: bool) -> None:
    """Write a commented starter configuration to FILE."""
    from ..config import STARTER

    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(STARTER)
    except FileExistsError:
        raise InvalidInput(f"{file} is there already; name another file", "file") from None
    except FileNotFoundError:
        raise InvalidInput(
            f"{file}: there is no folder {file.parent}: make it first", "file"
        ) from None
    click.echo(json.dumps({"written": str(file)}) if as_json else f"wrote {file}")


@click.command(epilog="Example: bandit-router precompile --config bandit-router.toml")
@CONFIG
@JSON
@plain_errors
def precompile(config: Path | None, as_json: bool) -> None:
    """Compile for this machine what decisions run, so that the first start need not."""
    from ..precompile import precompile, prepare_embedder

    settings = configured(config).settings
    done = precompile(settings)
    prepare_embedder(settings.embedder)
    if as_json:
        click.echo(json.dumps({"compiled": done.compiled, "seconds": round(done.seconds, 2)}))
    elif not done.compiled:
        click.echo(f"everything was compiled before; loaded in {done.seconds:.1f} s")


@click.command(epilog="Example: bandit-router route 'Prove that 17 is prime.' --db router.db")
@click.argument("prompt", callback=not_blank)
@DB
@TENANT
@CONFIG
@click.option("--cost-weight", type=click.FloatRange(min=0), help="Trade-off of this decision.")
@JSON
@plain_errors
def route(
    prompt: str,
    db: Place | None,
    tenant: str | None,
    config: Path | None,
    cost_weight: float | None,
    as_json: bool,
) -> None:
    """Decide once for PROMPT and explain it; nothing is written."""
    from ..explain import as_data, as_text
    from ..types import Request

    with ExitStack() as stack:
        router = _router(db, tenant, configured(config, tenant), stack)
        request = Request(cost_weight=cost_weight)
        decision = router.decide(prompt, request=request, time=max(router.time, time.time()))
    click.echo(json.dumps(as_data(decision)) if as_json else as_text(decision))


def _router(db: Place | None, tenant: str | None, config: Config, stack: ExitStack) -> Router:
    """The router of a database, or an untaught one over the models of the configuration."""
    from ..router import Router
    from ..store import is_shared, open_log, place_of, restore

    place = place_of(tenant, db or config.settings.store.path)
    if db is not None or is_shared(place) or Path(place).exists():
        return restore(stack.enter_context(closing(open_log(place, readonly=True))))
    if not config.models:
        raise click.UsageError("give --db FILE, or --config FILE with models")
    return Router(config.models, settings=config.settings)
