"""``POST /feedback`` and ``POST /feedback/batch``."""

from __future__ import annotations

import msgspec
from aiohttp import web

from ..exceptions import InvalidInput
from ..types import Feedback
from . import body
from .errors import described
from .keys import ENGINE
from .openapi import Operation
from .wire import (
    BatchAnswer,
    BatchStatus,
    FeedbackAnswer,
    FeedbackBatch,
    FeedbackRequest,
)

_RATINGS = {"up": 1.0, "down": 0.0}


async def feedback(request: web.Request) -> web.Response:
    """Take one feedback; 200 means that it is on disk."""
    said = _noun(await body.read(request, FeedbackRequest))
    [status] = await request.app[ENGINE].feedback([said])
    if isinstance(status, Exception):
        raise status
    return body.answer(FeedbackAnswer(status=status))


async def feedback_batch(request: web.Request) -> web.Response:
    """Take many feedbacks, each judged for itself and in order."""
    batch = await body.read(request, FeedbackBatch)
    items = [_item(raw) for raw in batch.feedback]
    said = [feedback for _, feedback in items]
    statuses = await request.app[ENGINE].feedback(said)
    results = [
        BatchStatus(decision_id=id_, error=described(status)[1])
        if isinstance(status, Exception)
        else BatchStatus(decision_id=id_, status=status)
        for (id_, _), status in zip(items, statuses, strict=True)
    ]
    return body.answer(BatchAnswer(results=results))


class _Named(msgspec.Struct):
    decision_id: str | None = None


def _item(raw: msgspec.Raw) -> tuple[str | None, Feedback | Exception]:
    """Return the decision that an item names, if it does, and the feedback or what is wrong."""
    try:
        said = _noun(body.decode(raw, FeedbackRequest))
    except InvalidInput as error:
        try:
            return body.decode(raw, _Named).decision_id, error
        except InvalidInput:
            return None, error
    return said.decision_id, said


def _noun(said: FeedbackRequest) -> Feedback:
    if said.reward is not None and said.rating is not None:
        raise InvalidInput("give a reward or a rating, not both", "rating")
    reward = said.reward if said.rating is None else _RATINGS[said.rating]
    return Feedback(
        decision_id=said.decision_id,
        reward=reward,
        cost_usd=said.cost_usd,
        latency_ms=said.latency_ms,
        prompt_tokens=said.prompt_tokens,
        completion_tokens=said.completion_tokens,
        source=said.source,
        weight=said.weight,
    )


OPERATIONS = (
    Operation(
        method="POST",
        path="/feedback",
        handler=feedback,
        summary="Say how good an answer was; 200 means that it is on disk",
        body=FeedbackRequest,
        answer=FeedbackAnswer,
        errors=(404, 503),
    ),
    Operation(
        method="POST",
        path="/feedback/batch",
        handler=feedback_batch,
        summary="Say how good many answers were",
        body=FeedbackBatch,
        answer=BatchAnswer,
        errors=(503,),
    ),
)
