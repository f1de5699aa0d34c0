"""Signed links: feedback by somebody who has no key, for one decision, until a date."""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from urllib.parse import urlencode

from ..config import KeysSettings
from ..exceptions import ConfigError
from .errors import Refused

PATH = "/feedback/signed"
TENANT = "tenant"
"""What names the tenant in a link: whoever uses it has no key that would."""

_LEAST_SECRET = 32
_DAY = 86_400.0


class Links:
    """Makes and checks signed links.

    Parameters
    ----------
    secret
        What signatures are made with; None: there are no links.
    days
        How long they hold.
    tenant
        Whose decisions they are for; None: nobody's in particular.

    Examples
    --------
    >>> links = Links("s" * 32, days=30)
    >>> links.make("a decision", now=0.0)[:62]
    '/feedback/signed?decision_id=a+decision&expires=2592000&signat'
    """

    def __init__(self, secret: str | None, days: float, tenant: str | None = None) -> None:
        self._secret = None if secret is None else secret.encode()
        self._seconds = days * _DAY
        self._tenant = tenant

    @classmethod
    def of(cls, settings: KeysSettings, tenant: str | None = None) -> Links:
        """Return the links of the settings, their secret from the environment.

        Raises
        ------
        ConfigError
            If the variable that they name is not set, or its secret is short.
        """
        name = settings.signing_secret_env
        if name is None:
            return cls(None, settings.link_days, tenant)
        secret = os.environ.get(name, "")
        if len(secret) < _LEAST_SECRET:
            raise ConfigError(
                f"keys.signing_secret_env: the environment variable {name} must hold "
                f"{_LEAST_SECRET} characters or more",
                "keys.signing_secret_env",
            )
        return cls(secret, settings.link_days, tenant)

    @property
    def on(self) -> bool:
        """Whether links are made."""
        return self._secret is not None

    def make(self, decision_id: str, now: float | None = None) -> str | None:
        """Return the link (path and query) for feedback on a decision; None if there are none."""
        if self._secret is None:
            return None
        expires = int((time.time() if now is None else now) + self._seconds)
        signed = {"decision_id": decision_id, "expires": expires}
        if self._tenant is not None:
            signed[TENANT] = self._tenant
        return f"{PATH}?{urlencode({**signed, 'signature': self._sign(decision_id, str(expires))})}"

    def check(self, decision_id: str, expires: str, signature: str) -> None:
        """Refuse (403) what was not made here, or has expired."""
        if self._secret is None:
            raise Refused(403, "there are no signed links here: set keys.signing_secret_env")
        right = self._sign(decision_id, expires)
        if not hmac.compare_digest(right.encode(), signature.encode("utf-8", "replace")):
            raise Refused(403, "the signature of this link is wrong", "signature")
        if not (expires.isdecimal() and float(expires) > time.time()):
            raise Refused(403, "this link has expired", "expires")

    def _sign(self, decision_id: str, expires: str) -> str:
        assert self._secret is not None
        text = f"{len(decision_id)}:{decision_id}:{expires}"
        if self._tenant is not None:  # tenants may share the secret, but no link
            text += f":{self._tenant}"
        return hmac.new(self._secret, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
