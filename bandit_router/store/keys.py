"""`KeyStore`: API keys in the database, of which only the SHA-256 is kept.

Keys are no events: they can be added and revoked beside a running service, which notices.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, Self, get_args

import msgspec

from ..exceptions import InvalidInput
from . import schema
from .connection import connect, plain_words
from .lock import FileLock

Scope = Literal["route", "feedback", "metrics", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "br"
_ID_BYTES, _SECRET_BYTES = 6, 32
_NOBODY = hashlib.sha256(b"").hexdigest()


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of an API key.

    Parameters
    ----------
    id
        Public; the first part of the key.
    hash
        SHA-256 of the whole key, in hex. A key is 256 random bits, so no slow hash is needed.
    scopes
        What it may do.
    requests_per_minute, usd_per_day, usd_total
        Its limits; None is none.
    paced
        Whether `usd_per_day` is spread over the day, rather than only refused beyond.
    """

    id: str
    name: str
    hash: str
    scopes: tuple[Scope, ...]
    created: float
    revoked: float | None = None
    requests_per_minute: float | None = None
    usd_per_day: float | None = None
    usd_total: float | None = None
    paced: bool = True


FIELDS = ApiKey.__struct_fields__


def plain(name: str) -> str:
    """Return a name as it is kept: two that look the same are one."""
    return unicodedata.normalize("NFKC", name).strip()


def check_key(name: str, scopes: Sequence[str], **limits: float | None) -> None:
    """Refuse what no key can be made of; the arguments are those of `Keys.add`.

    Raises
    ------
    InvalidInput
        Naming the field.
    """
    if not name.strip() or not name.isprintable() or len(name) > 64:
        raise InvalidInput("name: give 1 to 64 printable characters", "name")
    if not scopes or not set(scopes) <= set(SCOPES):
        raise InvalidInput(f"scopes: give some of {', '.join(SCOPES)}", "scopes")
    for field, value in limits.items():
        if value is not None and not 0.0 < value < 1e9:
            raise InvalidInput(f"{field}: must be above 0 and finite", field)


class Keys(ABC):
    """The keys of one database, whichever engine it is on."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    @abstractmethod
    def all(self) -> list[ApiKey]:
        """Return every key, the revoked too, oldest first."""

    @abstractmethod
    def _insert(self, key: ApiKey) -> bool:
        """Write a key; False if one of that name is in use."""

    @abstractmethod
    def _revoke(self, id_: str, at: float) -> None:
        """Write when a key was revoked."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def add(
        self,
        name: str,
        scopes: Sequence[str] = ("route", "feedback"),
        *,
        requests_per_minute: float | None = None,
        usd_per_day: float | None = None,
        usd_total: float | None = None,
        paced: bool = True,
    ) -> tuple[ApiKey, str]:
        """Make a key; return what is kept of it, and the key itself, which nobody can ask again.

        Raises
        ------
        InvalidInput
            If the name is blank or taken, or a scope is none.
        """
        name = plain(name)
        check_key(
            name,
            scopes,
            requests_per_minute=requests_per_minute,
            usd_per_day=usd_per_day,
            usd_total=usd_total,
        )
        id_ = secrets.token_hex(_ID_BYTES)
        text = f"{PREFIX}_{id_}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        key = ApiKey(
            id=id_,
            name=name,
            hash=_hashed(text),
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            created=time.time(),
            requests_per_minute=requests_per_minute,
            usd_per_day=usd_per_day,
            usd_total=usd_total,
            paced=paced,
        )
        if not self._insert(key):
            raise InvalidInput(f"name: there is a key {name!r} already: revoke it first", "name")
        return key, text

    def revoke(self, which: str) -> ApiKey:
        """Revoke a key, named by its id or its name. It stays in the list.

        Raises
        ------
        InvalidInput
            If there is none, or it has been revoked already.
        """
        used = [key for key in self.all() if key.revoked is None]
        found = [key for key in used if key.id == which] or [
            key for key in used if which == key.name or plain(which) == key.name
        ]
        if not found:
            raise InvalidInput(f"there is no key {which!r} in use; `keys list` shows them", "which")
        now = time.time()
        self._revoke(found[0].id, now)
        return msgspec.structs.replace(found[0], revoked=now)


class KeyStore(Keys):
    """The keys of one database. Any process may open it; changes are seen by all.

    Raises
    ------
    StoreError
        If the file is not ours or cannot be opened.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).resolve()
        self._lock = threading.Lock()
        with plain_words(self.path):
            self._db = connect(self.path, readonly=False)
            try:
                if not {"meta", "api_keys"} <= set(self._db.table_names()):
                    self._prepare()
                schema.check(self._db, self.path)
                self._db.execute("PRAGMA synchronous = FULL")
                # Whoever has the log does it, see `Backfill`, else whoever closes the file last.
                self._db.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._db.close()

    def all(self) -> list[ApiKey]:
        """Return every key, the revoked too, oldest first."""
        with self._lock, plain_words(self.path):
            sql = f"SELECT {', '.join(FIELDS)} FROM api_keys ORDER BY created, id"
            return [of_row(row) for row in self._db.execute(sql).fetchall()]

    def _insert(self, key: ApiKey) -> bool:
        with self._writing():
            taken = "SELECT 1 FROM api_keys WHERE name = ? AND revoked IS NULL"
            if self._db.execute(taken, [key.name]).fetchone():
                return False
            self._db["api_keys"].insert(as_row(key))
        return True

    def _revoke(self, id_: str, at: float) -> None:
        with self._writing():
            self._db["api_keys"].update(id_, {"revoked": at})

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Write all or nothing, after whoever else writes: immediate, so that it is waited for."""
        with self._lock, plain_words(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.commit()
            except BaseException:
                self._db.rollback()
                raise

    def _prepare(self) -> None:
        """Make the database, or bring it to this release: nobody else may write meanwhile."""
        with ExitStack() as held:
            held.callback(FileLock(self.path).release)
            schema.prepare(self._db, self.path)


def as_row(key: ApiKey) -> dict[str, Any]:
    """Return a key as the columns of a table."""
    row: dict[str, Any] = msgspec.to_builtins(key)
    return {**row, "scopes": " ".join(key.scopes)}


def of_row(row: Sequence[Any]) -> ApiKey:
    """Return the key of the columns `FIELDS`."""
    named = dict(zip(FIELDS, row, strict=True))
    named |= {"scopes": named["scopes"].split(), "paced": bool(named["paced"])}
    return msgspec.convert(named, ApiKey)


def matching(keys: dict[str, ApiKey], text: str) -> ApiKey | None:
    """Return the key that `text` is, or None; takes the same time for every wrong text."""
    found = keys.get(id_of(text) or "")
    same = hmac.compare_digest(found.hash if found else _NOBODY, _hashed(text))
    return found if found is not None and same and found.revoked is None else None


def id_of(text: str) -> str | None:
    """Return the public part of an API key, None if it is no key of ours."""
    parts = text.split("_", 2)
    return parts[1] if len(parts) == 3 else None


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
