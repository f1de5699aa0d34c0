"""The event log on disk: append-only, one process writes, anybody may read."""

from .events import EventStore
from .fold import Report, restore, verify
from .keys import ApiKey, KeyStore
from .rows import Snapshot, SnapshotInfo
from .writer import Writer

__all__ = [
    "ApiKey",
    "EventStore",
    "KeyStore",
    "Report",
    "Snapshot",
    "SnapshotInfo",
    "Writer",
    "restore",
    "verify",
]
