"""The tables, and whether a file is one of ours that this release can read."""

from __future__ import annotations

from pathlib import Path

from ..exceptions import StoreError
from .rows import NO_DECISION
from .sqlite import Database

APPLICATION = "bandit-router"
SCHEMA_VERSION = 2
"""2: API keys."""

_PAGE = 16_384
"""Bytes, of new files: a page of the usual 4,096 holds one decision, or half of one."""


def prepare(db: Database, path: Path) -> None:
    """Make the tables in an empty database, or check those that are there.

    A file that is not ours is left exactly as it was.

    Raises
    ------
    StoreError
        See `check`.
    """
    if db.table_names():
        check(db, path)
    else:
        db.execute(f"PRAGMA page_size = {_PAGE}")  # that of a file with tables stays as it is
    db.enable_wal()
    db.execute("PRAGMA synchronous = FULL")  # an answer that says "recorded" survives power loss
    db.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten
    with db.atomic():
        if not db.table_names():
            _create(db)
        else:
            _migrate(db)


def check(db: Database, path: Path) -> None:
    """Refuse a database that is not ours, or newer than this release.

    Raises
    ------
    StoreError
        Saying which, and what to do.
    """
    meta = {}
    if "meta" in db.table_names() and {"key", "value"} <= db["meta"].columns_dict.keys():
        meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
    if meta.get("application") != APPLICATION:
        raise StoreError(f"{path}: not a bandit-router database: choose another file")
    version = int(meta.get("schema_version", "0"))
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path}: written by a newer bandit-router (schema {version}, this release knows "
            f"{SCHEMA_VERSION}): upgrade bandit-router, or choose another file"
        )


def _migrate(db: Database) -> None:
    """Bring the tables of an earlier release to those of this one, step by step."""
    [text] = db.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    for step in _STEPS[int(text) - 1 :]:
        step(db)
    db["meta"].upsert({"key": "schema_version", "value": str(SCHEMA_VERSION)}, pk="key")


def _create(db: Database) -> None:
    db.create_table("meta", {"key": str, "value": str}, pk="key")
    db["meta"].insert_all(
        [
            {"key": "application", "value": APPLICATION},
            {"key": "schema_version", "value": str(SCHEMA_VERSION)},
        ]
    )
    db.create_table(
        "events",
        {
            "seq": int,
            "time": float,
            "kind": str,
            "decision_id": str,
            "version": int,
            "body": bytes,
        },
        pk="seq",
        not_null={"time", "kind", "version", "body"},
    )
    db["events"].create_index(["decision_id"])
    # Of decisions, which are most of the log, every write would write a page of it.
    db.execute(f"CREATE INDEX idx_events_kind ON events (kind) WHERE {NO_DECISION}")
    db.create_table(
        "lineage",
        {
            "id": int,
            "seq": int,
            "time": float,
            "what": str,
            "cluster": int,
            "other": int,
            "level": int,
            "cause": str,
        },
        pk="id",
        not_null={"seq", "time", "what", "cluster", "other", "level", "cause"},
    )
    for column in ("seq", "cluster", "other"):
        db["lineage"].create_index([column])
    db.create_table(
        "snapshots",
        {"seq": int, "time": float, "digest": str, "fold_version": int, "body": bytes},
        pk="seq",
        not_null={"time", "digest", "fold_version"},
    )
    for step in _STEPS:
        step(db)


def _add_keys(db: Database) -> None:
    db.create_table(
        "api_keys",
        {
            "id": str,
            "name": str,
            "hash": str,
            "scopes": str,
            "created": float,
            "revoked": float,
            "requests_per_minute": float,
            "usd_per_day": float,
            "usd_total": float,
            "paced": int,
        },
        pk="id",
        not_null={"name", "hash", "scopes", "created", "paced"},
    )


_STEPS = (_add_keys,)
"""From schema 1 to 2, and so on: each takes the tables one version further."""
