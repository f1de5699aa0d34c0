"""The event log on disk: append-only, one process writes, anybody may read."""

from ..exceptions import StoreError
from .base import Kind, Log, Place, is_shared
from .events import EventStore
from .fold import Report, restore, verify
from .keys import ApiKey, Keys, KeyStore, check_key
from .outbox import Outbox
from .rows import Rows, Snapshot, SnapshotInfo, pack
from .tenants import file_of, place_of
from .transfer import import_events
from .writer import Writer

__all__ = [
    "ApiKey",
    "EventStore",
    "KeyStore",
    "Keys",
    "Kind",
    "Log",
    "Outbox",
    "Place",
    "Report",
    "Rows",
    "Snapshot",
    "SnapshotInfo",
    "Writer",
    "check_key",
    "file_of",
    "import_events",
    "is_shared",
    "open_keys",
    "open_log",
    "pack",
    "place_of",
    "restore",
    "verify",
]


def open_log(place: Place, *, readonly: bool = False) -> Log:
    """Open the log in a file, or in the PostgreSQL database of a URL.

    Raises
    ------
    StoreHeld
        If another process writes to it and `readonly` is not asked for.
    StoreError
        If it cannot be opened.
    """
    if not is_shared(place):
        return EventStore.open(place, readonly=readonly)
    need_psycopg()
    from .postgres import PostgresStore

    return PostgresStore.open(str(place), readonly=readonly)


def open_keys(place: Place) -> Keys:
    """Open the API keys in a file, or in the PostgreSQL database of a URL.

    Raises
    ------
    StoreError
        If they cannot be opened.
    """
    if not is_shared(place):
        return KeyStore(place)
    need_psycopg()
    from .postgres import PostgresKeys

    return PostgresKeys(str(place))


def need_psycopg() -> None:
    """Say how to install what a shared database needs, where it is not.

    Raises
    ------
    StoreError
        If it is not installed.
    """
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise StoreError(
            f"a PostgreSQL database needs pip install 'bandit-router[postgres]' ({error})"
        ) from None
