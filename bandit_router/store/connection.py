"""Opening SQLite, and its errors in plain words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..exceptions import StoreError
from .sqlite import Database

BUSY_SECONDS = 10.0
"""How long a write waits for another connection's write."""

_WORDS = {
    sqlite3.SQLITE_FULL: "the disk is full: make room, then try again",
    sqlite3.SQLITE_IOERR: "the disk gave an I/O error: check the disk, then try again",
    sqlite3.SQLITE_CORRUPT: (
        "the file is damaged (database disk image is malformed): restore it from a backup"
    ),
    sqlite3.SQLITE_NOTADB: "the file is not a database: choose another file",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened: check its folder and permissions",
    sqlite3.SQLITE_READONLY: "the file may not be written: check its permissions and its folder's",
    sqlite3.SQLITE_PERM: "access to the file is denied: check its permissions",
    sqlite3.SQLITE_BUSY: "another connection keeps the database locked: try again",
    sqlite3.SQLITE_LOCKED: "another connection keeps the database locked: try again",
}


@contextmanager
def plain_words(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite into `StoreError`, naming the file and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        # The low byte is the kind; the rest tells which system call it was.
        words = _WORDS.get(code & 0xFF) if code is not None else None
        raise StoreError(f"{path}: {words or error}") from error
    except UnicodeDecodeError as error:
        raise StoreError(f"{path}: {_WORDS[sqlite3.SQLITE_CORRUPT]}") from error


def connect(path: Path, *, readonly: bool) -> Database:
    """Return a connection that any thread may use, one at a time.

    Raises
    ------
    sqlite3.Error
        As SQLite gives it; see `plain_words`.
    """
    uri = f"{path.absolute().as_uri()}?mode={'ro' if readonly else 'rwc'}"
    raw = sqlite3.connect(
        uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        return Database(raw)
    except BaseException:
        raw.close()
        raise


def copy(source: Path, target: Path) -> None:
    """Copy a database to a new file, consistent also while it is written to.

    Raises
    ------
    StoreError
        If there is such a file already, or it cannot be written.
    """
    partial = target.with_name(target.name + ".partial")
    try:
        if target.exists():
            raise StoreError(f"{target}: exists already: choose another name for the backup")
        partial.unlink(missing_ok=True)
        with plain_words(target), ExitStack() as opened:
            # A connection of its own: a long copy must not keep other reads waiting.
            reader = connect(source, readonly=True)
            opened.callback(reader.close)
            writer = connect(partial, readonly=False)
            opened.callback(writer.close)
            reader.conn.backup(writer.conn)
            writer.disable_wal()  # a single file, readable in a folder that may not be written
        partial.rename(target)
    except OSError as error:
        raise StoreError(f"{target}: cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
