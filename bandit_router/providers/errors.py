"""What it means when an endpoint does not answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "refused",
    "too_long",
    "unsupported",
    "unfit",
    "auth",
    "missing",
    "setup",
    "rate_limited",
    "server",
    "timeout",
    "connection",
    "dns",
    "tls",
    "garbage",
    "error_in_answer",
    "broke_off",
    "deadline",
]
"""What went wrong; failures are counted by it."""


@dataclass(frozen=True)
class Meaning:
    """What a failure says: of other endpoints, of another try, of the endpoint's health."""

    elsewhere: bool = True
    again: bool = False
    unwell: bool = True


MEANINGS: Mapping[Kind, Meaning] = {
    "refused": Meaning(elsewhere=False, unwell=False),  # the request itself: the client's to mend
    "too_long": Meaning(unwell=False),  # another model may take as much
    "unsupported": Meaning(unwell=False),  # nor may it want what this model does not take
    "unfit": Meaning(unwell=False),  # it cannot be said in the endpoint's words
    "auth": Meaning(),
    "missing": Meaning(),
    "setup": Meaning(),
    "rate_limited": Meaning(again=True),
    "server": Meaning(again=True),
    "timeout": Meaning(again=True),
    "connection": Meaning(again=True),
    "dns": Meaning(),
    "tls": Meaning(),
    "garbage": Meaning(again=True),
    "error_in_answer": Meaning(again=True),
    "broke_off": Meaning(again=True),
    "deadline": Meaning(elsewhere=False, unwell=False),
}

_STATUSES: Mapping[int, Kind] = {
    401: "auth",
    402: "auth",
    403: "auth",
    404: "missing",
    405: "missing",
    408: "timeout",
    409: "server",
    425: "server",
    429: "rate_limited",
}

_TOO_LONG = (b"context_length_exceeded", b"prompt is too long", b"maximum context length")
_UNSUPPORTED = (b"unsupported_parameter", b"unsupported_value", b"not support")
_FLAGGED = (b"moderation", b"flagged")  # OpenRouter's 403 is of the prompt, not of the key


class UpstreamError(Exception):
    """An endpoint did not answer.

    Parameters
    ----------
    message
        What happened, without any secret.
    kind
        Of failure.
    status
        What it answered with, if it did.
    retry_after
        Seconds that the endpoint asks to wait.
    body
        What it answered with.
    """

    def __init__(
        self,
        message: str,
        kind: Kind,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.status = status
        self.retry_after = retry_after
        self.body = body

    @property
    def meaning(self) -> Meaning:
        """What it says beyond this call."""
        return MEANINGS[self.kind]


def kind_of(status: int, body: bytes = b"") -> Kind:
    """Return what a bad status means."""
    if status in (400, 413, 422) and any(words in body for words in _TOO_LONG):
        return "too_long"
    if status in (400, 422) and any(words in body for words in _UNSUPPORTED):
        return "unsupported"
    if status == 403 and any(words in body for words in _FLAGGED):
        return "refused"
    if 300 <= status < 400:  # a redirect would hand the key on to wherever it leads
        return "missing"
    return _STATUSES.get(status, "server" if status >= 500 else "refused")
