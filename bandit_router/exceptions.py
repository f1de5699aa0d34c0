"""The errors that bandit-router raises on purpose; each message says what, where and what to do."""

from __future__ import annotations


class BanditRouterError(Exception):
    """Base of every error that bandit-router raises on purpose."""


class InvalidInput(BanditRouterError, ValueError):
    """A value from outside cannot be used.

    Parameters
    ----------
    message
        What is wrong and how to mend it.
    field
        The name of the offending field, as the caller wrote it.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class ConfigError(InvalidInput):
    """A setting is unknown or out of range; `field` is its dotted key."""


class MissingExtra(InvalidInput):
    """What is asked for needs an optional part of the installation; the message names it."""


class NoEligibleArm(InvalidInput):
    """No model satisfies the request's constraints; `field` names the constraint."""


class UnknownDecision(BanditRouterError, LookupError):
    """Feedback or a question names a decision that was never made (or is no longer kept)."""


class UnknownModel(InvalidInput, LookupError):
    """A model name is not among the configured arms."""


class EmbedderError(BanditRouterError):
    """The embedder's endpoint does not answer as it should; the same prompt may succeed later."""


class StoreError(BanditRouterError):
    """The event log cannot be opened, read or written."""


class StoreHeld(StoreError):
    """Another process writes to this database."""


class StoreBusy(StoreError):
    """More waits for the disk than may wait; try again."""


class TableError(InvalidInput):
    """A routing table cannot be read; the message gives file and line."""
