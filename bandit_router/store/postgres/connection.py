"""Connecting to PostgreSQL, its tables, and its errors in plain words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ...exceptions import StoreError
from ..schema import APPLICATION

SCHEMA_VERSION = 1
CONNECT_SECONDS = 5
SILENCE_SECONDS = 15
"""A connection is given up when its other end has not been heard for so long.

The server ends a writer's idle session after as long too: a process that was stopped must not
keep the lock from the others.
"""

LOCK = "hashtext('bandit-router'), hashtext(current_schema())"
"""The advisory lock of the one that writes: one log in each schema of a database."""

INBOX_CHANNEL = "'bandit_router_inbox_' || md5(current_schema())"
PUBLISHED_CHANNEL = "'bandit_router_published_' || md5(current_schema())"
"""Channels in SQL: of each schema its own, or tenants of one database would wake each other."""

# What is published is a cache that the learner makes again: it need not survive a crash of the
# server, and so many megabytes a minute are better kept out of its write-ahead log.
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key text PRIMARY KEY, value text NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    seq bigint PRIMARY KEY,
    time double precision NOT NULL,
    kind text NOT NULL,
    decision_id text,
    version integer NOT NULL,
    body bytea NOT NULL
);
CREATE INDEX IF NOT EXISTS events_decision ON events (decision_id, seq);
CREATE INDEX IF NOT EXISTS events_change ON events (seq) WHERE kind = 'change';
CREATE TABLE IF NOT EXISTS lineage (
    id bigserial PRIMARY KEY,
    seq bigint NOT NULL,
    time double precision NOT NULL,
    what text NOT NULL,
    cluster bigint NOT NULL,
    other bigint NOT NULL,
    level integer NOT NULL,
    cause text NOT NULL
);
CREATE INDEX IF NOT EXISTS lineage_seq ON lineage (seq);
CREATE INDEX IF NOT EXISTS lineage_cluster ON lineage (cluster);
CREATE INDEX IF NOT EXISTS lineage_other ON lineage (other);
CREATE TABLE IF NOT EXISTS snapshots (
    seq bigint PRIMARY KEY,
    time double precision NOT NULL,
    digest text NOT NULL,
    fold_version integer NOT NULL,
    body bytea
);
CREATE TABLE IF NOT EXISTS api_keys (
    id text PRIMARY KEY,
    name text NOT NULL,
    hash text NOT NULL,
    scopes text NOT NULL,
    created double precision NOT NULL,
    revoked double precision,
    requests_per_minute double precision,
    usd_per_day double precision,
    usd_total double precision,
    paced boolean NOT NULL
);
CREATE TABLE IF NOT EXISTS replicas (
    name text PRIMARY KEY,
    delivered bigint NOT NULL DEFAULT 0,
    folded bigint NOT NULL DEFAULT 0,
    seen timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS inbox (
    id bigserial PRIMARY KEY,
    replica text NOT NULL,
    number bigint NOT NULL,
    waiting boolean NOT NULL DEFAULT false,
    arrived timestamptz NOT NULL DEFAULT clock_timestamp(),
    refused text,
    version integer NOT NULL,
    body bytea NOT NULL
);
CREATE INDEX IF NOT EXISTS inbox_next ON inbox (id) WHERE NOT waiting AND refused IS NULL;
CREATE INDEX IF NOT EXISTS inbox_waiting ON inbox (id) WHERE waiting;
CREATE UNLOGGED TABLE IF NOT EXISTS published (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    seq bigint NOT NULL,
    fold_version integer NOT NULL,
    digest text NOT NULL,
    marks text NOT NULL,
    body bytea NOT NULL
) WITH (toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 20000);
ALTER TABLE published ALTER body SET STORAGE EXTERNAL;
CREATE UNLOGGED TABLE IF NOT EXISTS pulse (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    at timestamptz NOT NULL,
    behind double precision NOT NULL
);
"""


def name_of(url: str) -> str:
    """Return a URL without its password, for messages.

    Raises
    ------
    StoreError
        If it is none.
    """
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error as error:
        raise StoreError(f"the URL of the database cannot be read: {error}".strip()) from None
    host, port, name = (parts.get(key) for key in ("host", "port", "dbname"))
    return f"postgresql://{host or ''}{f':{port}' if port else ''}/{name or ''}"


@contextmanager
def plain_words(name: str) -> Iterator[None]:
    """Turn the errors of PostgreSQL into `StoreError`, naming the database."""
    try:
        yield
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise StoreError(
            f"{name}: there is no log in this database yet: start a learner on it"
        ) from error
    except psycopg.Error as error:
        raise StoreError(f"{name}: {' '.join(str(error).split()) or repr(error)}") from error


def conninfo(url: str) -> str:
    """Return `url` with limits on how long a dead network is waited for."""
    given = conninfo_to_dict(url)
    ours: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "application_name": f"bandit-router {os.getpid()}",
        "keepalives_idle": 5,
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "tcp_user_timeout": SILENCE_SECONDS * 1000,
    }
    return str(make_conninfo(url, **{key: ours[key] for key in ours.keys() - given.keys()}))


def listening(channel: str) -> str:
    """Return the statement that listens to a channel."""
    return f"DO $$ BEGIN EXECUTE format('LISTEN %I', {channel}); END $$"


def connect(url: str) -> psycopg.Connection[Any]:
    """Return a connection in autocommit; any thread may use it, one at a time."""
    return psycopg.connect(conninfo(url), autocommit=True)


def make_schema(connection: psycopg.Connection[Any]) -> None:
    """Make the schema that the URL names, if it is not there: that of a new tenant."""
    asked = "SELECT current_setting('search_path') WHERE current_schema() IS NULL"
    if connection.execute(asked).fetchone() is None:
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('bandit-router tables'))")
        if (absent := connection.execute(asked).fetchone()) is not None:
            name = absent[0].partition(",")[0].strip().strip('"')
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))


def prepare(connection: psycopg.Connection[Any], name: str) -> None:
    """Make the tables that are not there, or check those that are.

    Raises
    ------
    StoreError
        If they are not ours, or newer than this release.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('bandit-router tables'))")
        found = connection.execute("SELECT to_regclass('meta'), to_regclass('events')").fetchone()
        if found != (None, None):
            check(connection, name)
            return
        connection.execute(_TABLES)
        connection.execute(
            "INSERT INTO meta (key, value) VALUES ('application', %s), ('schema_version', %s),"
            " ('secret', encode(sha256((gen_random_uuid()::text || gen_random_uuid()::text)::bytea)"
            ", 'hex'))",
            [APPLICATION, str(SCHEMA_VERSION)],
        )


def check(connection: psycopg.Connection[Any], name: str) -> None:
    """Refuse a database that is not ours, or newer than this release."""
    if connection.execute("SELECT to_regclass('meta')").fetchone() == (None,):
        raise StoreError(f"{name}: there is no log in this database yet: start a learner on it")
    try:
        meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    except psycopg.errors.UndefinedColumn:
        meta = {}
    if meta.get("application") != APPLICATION:
        raise StoreError(
            f"{name}: another application's tables are here: choose another database, or a schema "
            "of its own (?options=-csearch_path%3DNAME)"
        )
    if (version := int(meta["schema_version"])) > SCHEMA_VERSION:
        raise StoreError(
            f"{name}: written by a newer bandit-router (schema {version}, this release knows "
            f"{SCHEMA_VERSION}): upgrade bandit-router"
        )
