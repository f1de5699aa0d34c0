"""API keys in a shared database; see `store.keys`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..keys import FIELDS, ApiKey, Keys, as_row, of_row
from .connection import check, connect, make_schema, name_of, plain_words, prepare

SELECT = f"SELECT {', '.join(FIELDS)} FROM api_keys ORDER BY created, id"


class PostgresKeys(Keys):
    """The keys of one shared database. Any process may open it; changes are seen by all.

    Raises
    ------
    StoreError
        If the database is not ours or cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self.path = name_of(url)
        with plain_words(self.path):
            self._db = connect(url)
            try:
                make_schema(self._db)
                prepare(self._db, self.path)
                check(self._db, self.path)
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        """Disconnect."""
        self._db.close()

    def all(self) -> list[ApiKey]:
        """Return every key, the revoked too, oldest first."""
        with plain_words(self.path):
            return [of_row(row) for row in self._db.execute(SELECT).fetchall()]

    def _insert(self, key: ApiKey) -> bool:
        row: dict[str, Any] = as_row(key)
        marks: Sequence[str] = ["%s"] * len(row)
        with plain_words(self.path), self._db.transaction():
            self._db.execute("LOCK TABLE api_keys IN SHARE ROW EXCLUSIVE MODE")
            taken = "SELECT 1 FROM api_keys WHERE name = %s AND revoked IS NULL"
            if self._db.execute(taken, [key.name]).fetchone():
                return False
            self._db.execute(
                f"INSERT INTO api_keys ({', '.join(row)}) VALUES ({', '.join(marks)})",
                list(row.values()),
            )
        return True

    def _revoke(self, id_: str, at: float) -> None:
        with plain_words(self.path):
            self._db.execute("UPDATE api_keys SET revoked = %s WHERE id = %s", [at, id_])
