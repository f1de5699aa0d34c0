"""Many processes over one PostgreSQL database: replicas that serve, one learner that folds."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from ...config import Config
from ...exceptions import ConfigError
from ...router import Router
from ...store import Outbox, need_psycopg

if TYPE_CHECKING:
    from .replica import Replica


def open_replica(url: str, outbox: Path, config: Config) -> Replica:
    """Return a replica of the log in a shared database, which need not be there right now.

    Raises
    ------
    StoreError
        If the outbox cannot be opened (`StoreHeld`: another replica has it), the URL cannot be
        read, or psycopg is not installed.
    ConfigError
        If a setting or a model cannot be used.
    """
    need_psycopg()
    check_shareable(config)
    from ...store.postgres import PostgresStore
    from .link import Link
    from .replica import Replica

    store = PostgresStore(url, readonly=True)  # connects when it is first asked
    box = Outbox(outbox)
    return Replica(box, store, Link(url, box), config)


def kept_keys(outbox: Path) -> bool:
    """Tell whether a replica knows of API keys from when it last saw the database.

    Raises
    ------
    StoreError
        If the outbox cannot be opened.
    """
    with closing(Outbox(outbox)) as box:
        return (box.kept("keys") or b"[]") != b"[]"


def check_shareable(config: Config) -> None:
    """Refuse strategies whose state cannot be handed to another process, and what is not done yet.

    Raises
    ------
    ConfigError
        Also if a setting or a model cannot be used at all.
    """
    if config.settings.store.keep_days is not None and config.settings.store.archive is not None:
        raise ConfigError(
            "store.archive: a learner does not archive what it folds away: leave it out, or leave "
            "out keep_days and run `bandit-router compact --archive` now and then",
            "store.archive",
        )
    if not Router(config.models, settings=config.settings).restorable:
        raise ConfigError(
            f"bandit.strategy: {config.settings.bandit.strategy!r}, or the map's clusterer, "
            "cannot go on from a snapshot, which a shared database needs: choose another",
            "bandit.strategy",
        )
