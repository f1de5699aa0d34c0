"""One process writes: a lock that the operating system takes back, also from the killed."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ..exceptions import StoreError, StoreHeld


class FileLock:
    """An exclusive ``flock`` on a file beside the database, held until `release`.

    The file stays when the lock goes: to delete it would let two processes lock two files of
    the same name. It holds the owner's process id, for the message only.

    Raises
    ------
    StoreHeld
        If another store, in this process or another, holds it.
    StoreError
        If the file cannot be made.
    """

    def __init__(self, database: Path) -> None:
        path = database.with_name(database.name + ".lock")
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise StoreError(f"{path}: the lock file cannot be made: {error.strerror}") from None
        try:
            self._take(database, path)
        except BaseException:
            os.close(self._fd)
            raise

    def _take(self, database: Path, path: Path) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._fd, 32).decode("ascii", "replace").strip()
            who = f"process {owner}" if owner else "another process"
            raise StoreHeld(
                f"{database}: {who} writes to this database: stop it first, or only read"
            ) from None
        except OSError as error:
            raise StoreError(f"{path}: cannot be locked: {error.strerror}") from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next process write."""
        os.close(self._fd)
