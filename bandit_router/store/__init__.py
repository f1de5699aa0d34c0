"""The event log on disk: append-only, one process writes, anybody may read."""

from .events import EventStore
from .fold import Report, restore, verify
from .rows import Snapshot, SnapshotInfo
from .writer import Writer

__all__ = ["EventStore", "Report", "Snapshot", "SnapshotInfo", "Writer", "restore", "verify"]
