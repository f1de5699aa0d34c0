"""Commands over a database: warm-start, export, import, verify, compact."""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from ..exceptions import InvalidInput, StoreError, StoreHeld
from .options import (
    CONFIG,
    DATABASE,
    JSON,
    TENANT,
    configured,
    must_exist,
    of_tenant,
    plain_errors,
)

if TYPE_CHECKING:
    from ..store import Log, Place


@click.command(
    "warm-start", epilog="Example: bandit-router warm-start gateway.jsonl --db router.db"
)
@click.argument("log", type=click.Path(path_type=Path))
@click.option("--db", type=DATABASE, required=True, help="The database.")
@TENANT
@CONFIG
@JSON
@plain_errors
def warm_start(
    log: Path, db: Place, tenant: str | None, config: Path | None, as_json: bool
) -> None:
    """Learn from a decision log before the first request."""
    from ..simulator.warm import warm_start as learn
    from ..store import place_of

    found = learn(log, place_of(tenant, db), configured(config, tenant))
    words = "learnt {decisions:,} decisions, added {models_added} models".format(**found)
    click.echo(json.dumps(found) if as_json else words)


def _new(path: Path, field: str) -> BinaryIO:
    """Open a file that is not there yet."""
    try:
        return path.open("xb")
    except FileExistsError:
        raise InvalidInput(f"{path} is there already", field) from None


@click.command(epilog="Example: bandit-router export --db router.db --map map.html")
@click.option("--db", type=DATABASE, required=True, help="The database.")
@click.option("--backup", type=click.Path(path_type=Path), help="A consistent copy of it.")
@click.option("--events", type=click.Path(path_type=Path), help="Its events, JSONL.")
@click.option("--map", "page", type=click.Path(path_type=Path), help="Its map, one HTML file.")
@click.option(
    "--table",
    type=click.Path(path_type=Path),
    help="A folder: its rated decisions as a routing table, where prompts were kept.",
)
@JSON
@of_tenant
@plain_errors
def export(
    db: Place,
    backup: Path | None,
    events: Path | None,
    page: Path | None,
    table: Path | None,
    as_json: bool,
) -> None:
    """Copy a database, its events or its map out, also beside a running service.

    Overwrites nothing.
    """
    import msgspec

    from ..store import EventStore, open_log, restore

    given = [path for path in (backup, events, page, table) if path is not None]
    if len(given) != 1:
        raise click.UsageError("give one of --backup, --events, --map and --table")
    with closing(open_log(db, readonly=True)) as store:
        if backup is not None:
            if not isinstance(store, EventStore):
                raise InvalidInput("a PostgreSQL database is backed up with pg_dump", "backup")
            store.backup(backup)
        elif events is not None:
            with _new(events, "events") as out:
                for event in store.events():
                    out.write(msgspec.json.encode(event) + b"\n")
        elif page is not None:
            from ..service.page import saved

            with _new(page, "map") as out:
                out.write(saved.page(restore(store), store).encode())
        elif table is not None:
            from ..simulator.table_export import export_table

            export_table(Path(store.path), restore(store).models, table)
    written = str(given[0])
    click.echo(json.dumps({"written": written}) if as_json else f"wrote {written}")


@click.command("import", epilog="Example: bandit-router import events.jsonl --db router.db")
@click.argument("events", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--db", type=DATABASE, required=True, help="The new database.")
@JSON
@of_tenant
@plain_errors
def import_(events: Path, db: Place, as_json: bool) -> None:
    """Write EVENTS, as `export --events` made them, to a new database."""
    from tqdm import tqdm

    from ..store import import_events, open_log
    from ..store.transfer import MAX_LINE

    with closing(open_log(db)) as store, events.open("rb") as file:
        lines = iter(partial(file.readline, MAX_LINE + 1), b"")
        bar = tqdm(lines, desc="importing", unit="event", file=sys.stderr)
        count = import_events(bar, store)
    click.echo(json.dumps({"events": count}) if as_json else f"imported {count:,} events")


@click.command(epilog="Example: bandit-router verify --db router.db")
@click.option("--db", type=DATABASE, required=True, help="The database.")
@JSON
@of_tenant
@plain_errors
def verify(db: Place, as_json: bool) -> None:
    """Fold the log again, read-only, and compare digests at every snapshot."""
    import msgspec
    from tqdm import tqdm

    from ..store import open_log
    from ..store import verify as check

    with (
        closing(open_log(db, readonly=True)) as store,
        tqdm(total=store.last_seq(), unit="event", disable=None) as bar,
    ):
        report = check(store, progress=lambda seq: bar.update())
    if as_json:
        click.echo(json.dumps({"agrees": report.agrees} | msgspec.to_builtins(report)))
    else:
        click.echo(report.text())
    sys.exit(0 if report.agrees else 1)


def _to_write(db: Place) -> Log:
    """Open a database that is there, and that nobody else writes to."""
    from ..store import is_shared, open_log

    if not is_shared(db):
        return open_log(db)
    open_log(db, readonly=True).close()  # whoever opens it to write makes its tables
    from ..precompile import precompile
    from ..store.postgres import PostgresStore

    precompile()  # the server ends the session of a writer who is silent for long
    try:
        store = PostgresStore.open(str(db))
        store.analyze()
        return store
    except StoreHeld as error:
        raise StoreError(
            f"{error}; stop the learners first, or let them do it: [store] keep_days"
        ) from None


@click.command(epilog="Example: bandit-router compact --db router.db --keep-days 90")
@click.option("--db", type=DATABASE, required=True, help="The database.")
@click.option(
    "--keep-days", type=click.FloatRange(min=0), required=True, help="Older events are folded."
)
@click.option("--archive", type=click.Path(path_type=Path), help="Write them to this Parquet file.")
@JSON
@of_tenant
@plain_errors
def compact(db: Place, keep_days: float, archive: Path | None, as_json: bool) -> None:
    """Fold old events into a checkpoint: what was learnt stays.

    The service must be stopped; over PostgreSQL its learners, the replicas may go on.
    """
    from ..store import EventStore, retention

    must_exist(db)
    with closing(_to_write(db)) as store:
        checkpoint = retention.fold_until(store, time.time() - keep_days * 86_400)
        archived = gone = 0
        if checkpoint:
            if archive is not None and checkpoint > store.checkpoint():
                archived = retention.archive(store, checkpoint, archive)
            gone = retention.compact(store, checkpoint)  # also what was interrupted
            if isinstance(store, EventStore):  # PostgreSQL does it by itself
                store.vacuum()
        found = {"checkpoint": store.checkpoint(), "dropped": gone, "archived": archived}
    words = "dropped {dropped:,} events; the log now starts after event {checkpoint:,}"
    click.echo(json.dumps(found) if as_json else words.format(**found))
