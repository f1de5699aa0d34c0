"""Decision ids that every replica can tell from invented ones without asking anybody."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

_TOKEN = 22  # characters of 16 random bytes
_MARK = 8  # bytes


class Ids:
    """Makes decision ids, and knows those that another replica made.

    An id is a random token and a mark: the first bytes of an HMAC of the token and the API key
    that the decision belongs to, by the secret that all replicas share.

    Examples
    --------
    >>> ids, others = Ids(b"secret"), Ids(b"secret")
    >>> id_ = ids.make("key1")
    >>> others.made_for(id_, "key1"), others.made_for(id_, None), others.made_for("x", "key1")
    (True, False, False)
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def make(self, key: str | None) -> str:
        """Return a new id of a decision that belongs to an API key, or to nobody."""
        token = secrets.token_urlsafe(16)
        return token + self._mark(token, key)

    def made_for(self, decision_id: str, key: str | None) -> bool:
        """Tell whether an id was made here, or by another replica, for this key."""
        token, mark = decision_id[:_TOKEN], decision_id[_TOKEN:]
        return hmac.compare_digest(self._mark(token, key).encode(), mark.encode())

    def _mark(self, token: str, key: str | None) -> str:
        text = f"{token}:{key or ''}".encode()
        mark = hmac.new(self._secret, text, hashlib.sha256).digest()[:_MARK]
        return base64.urlsafe_b64encode(mark).rstrip(b"=").decode()


def number_of(decision_id: str) -> int:
    """Return the number by which a decision's random numbers are known, the same everywhere."""
    return int.from_bytes(hashlib.sha256(decision_id.encode()).digest()[:8])
