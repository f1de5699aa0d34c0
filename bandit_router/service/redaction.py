"""The function of the operator's that every prompt goes through before anything of it is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable

from .errors import Unavailable
from .imported import imported

log = logging.getLogger(__name__)

Redact = Callable[[str], str]


def redactor(name: str | None) -> Redact:
    """Return the function that `name`, ``"package.module:function"``, stands for.

    Raises
    ------
    ConfigError
        If there is none.
    """
    if name is None:
        return lambda text: text
    found = imported(name, "store.redact")

    def redact(text: str) -> str:
        """Let nothing through that the function has not returned."""
        try:
            out = found(text)
        except Exception as error:
            # Its own message may quote the prompt.
            log.error("store.redact: %s raised a %s", name, type(error).__name__)
            raise Unavailable("store.redact failed: the prompt was not routed") from None
        if not isinstance(out, str):
            raise Unavailable(f"store.redact returned a {type(out).__name__}, not text")
        return out

    return redact
