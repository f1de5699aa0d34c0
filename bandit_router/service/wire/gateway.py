"""What the gateway answers in its own words: lists of models, counts of tokens."""

from __future__ import annotations

from typing import Literal

from .bounds import Answer


class ModelListed(Answer, frozen=True, kw_only=True):
    """One entry of the list of models, in OpenAI's form and in Anthropic's."""

    id: str
    display_name: str
    object: Literal["model"] = "model"
    type: Literal["model"] = "model"
    created: int = 0
    created_at: str = "1970-01-01T00:00:00Z"
    owned_by: str = "bandit-router"


class ModelList(Answer, frozen=True, kw_only=True):
    """The list of models, in OpenAI's form and in Anthropic's."""

    data: list[ModelListed]
    first_id: str
    last_id: str
    has_more: bool = False
    object: Literal["list"] = "list"


class TokenCount(Answer, frozen=True, kw_only=True):
    """An estimate of the tokens of a Messages request."""

    input_tokens: int
