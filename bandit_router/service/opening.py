"""Opening an engine (a database or the replica of a shared one, keys, embedder) or a learner."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..config import Config
from ..embedding import Embedder, make_embedder
from ..providers import with_list_prices
from ..router import OWN_VECTORS
from ..store import EventStore, KeyStore, Place, is_shared, need_psycopg, open_keys
from .advisor import check_judge
from .demo import DemoFleet
from .engine import Engine
from .journal import Journal
from .keyring import Keyring, Source
from .recorder import Recorder
from .shared import check_shareable

if TYPE_CHECKING:
    from .shared.learner import Learner

OUTBOX = Path("bandit-router-outbox.db")
"""Where a replica keeps what a shared database has not got yet, unless told otherwise."""


def open_engine(
    config: Config,
    db: Place,
    *,
    embedder: Embedder | None = None,
    demo: bool = False,
    outbox: Path | None = None,
) -> Engine:
    """Open the database and check the configuration.

    Parameters
    ----------
    outbox
        The file of a replica's outbox, where the database is shared; None: `OUTBOX`.

    Raises
    ------
    StoreError
        If the database cannot be opened; `StoreHeld` if another process writes to it.
    ConfigError
        If a setting or a model cannot be used.
    """
    check_judge(config.settings)
    embedder = embedder or embedder_of(config)
    config = config if embedder is None else named(config, embedder.name)
    fleet = DemoFleet() if demo else None
    with ExitStack() as opened:
        recorder: Recorder
        keys: Source
        if is_shared(db):
            from .shared import open_replica

            replica = open_replica(str(db), outbox or OUTBOX, config)
            recorder, keys = replica, replica.keys
        else:
            store = opened.enter_context(EventStore.open(db))
            store.flush_decisions = config.settings.store.flush_decisions
            keys = opened.enter_context(KeyStore(db))
            recorder = Journal(store, config, embedder)
        keyring = Keyring(
            keys,
            config.settings.keys,
            lambda: open_keys(db),
            always=config.tenant is not None or bool(config.tenants),
        )
        made = Engine(config, recorder, keyring, embedder=embedder, fleet=fleet)
        opened.pop_all()
        return made


def open_learner(config: Config, url: str, embedder: Embedder | None = None) -> Learner:
    """Return a candidate for the learner of a shared database; see `shared.learner`."""
    need_psycopg()
    check_shareable(config)
    from .shared.learner import Learner

    embedder = embedder or embedder_of(config)
    config = with_list_prices(config)
    return Learner(url, config if embedder is None else named(config, embedder.name), embedder)


def embedder_of(config: Config) -> Embedder | None:
    """Return the embedder that the settings name; None if callers bring vectors."""
    settings = config.settings.embedder
    if settings.name == OWN_VECTORS:
        return None
    return make_embedder(settings)


def named(config: Config, name: str) -> Config:
    """Return the configuration with the embedder of that name."""
    embedder = msgspec.structs.replace(config.settings.embedder, name=name)
    settings = msgspec.structs.replace(config.settings, embedder=embedder)
    return msgspec.structs.replace(config, settings=settings)
