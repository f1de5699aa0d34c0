"""``POST /feedback`` and ``POST /feedback/batch``."""

from __future__ import annotations

import msgspec
from aiohttp import web

from ..exceptions import InvalidInput
from ..types import Feedback
from . import body
from .access import caller
from .errors import described
from .keys import DECISION_ID, ENGINE
from .links import PATH as SIGNED
from .links import TENANT
from .openapi import Operation, Parameter
from .wire import (
    BatchAnswer,
    BatchStatus,
    FeedbackAnswer,
    FeedbackBatch,
    FeedbackRequest,
    SignedFeedback,
)

_RATINGS = {"up": 1.0, "down": 0.0}


async def feedback(request: web.Request) -> web.Response:
    """Take one feedback; 200 means that it is on disk."""
    said = _noun(await body.read(request, FeedbackRequest))
    request[DECISION_ID] = said.decision_id
    [status] = await request.app[ENGINE].feedback([said], key=caller(request))
    if isinstance(status, Exception):
        raise status
    return body.answer(FeedbackAnswer(status=status))


async def signed_feedback(request: web.Request) -> web.Response:
    """Take feedback from somebody without a key, by the link that was signed for the decision."""
    engine = request.app[ENGINE]
    link = [request.query.get(name, "") for name in ("decision_id", "expires", "signature")]
    engine.links.check(*link)
    said = await body.read(request, SignedFeedback)
    if (said.reward is None) == (said.rating is None):
        raise InvalidInput("give a reward or a rating", "rating")
    reward = said.reward if said.rating is None else _RATINGS[said.rating]
    item = Feedback(decision_id=link[0], reward=reward)
    [status] = await engine.feedback([item], signed=True)
    if isinstance(status, Exception):
        raise status
    return body.answer(FeedbackAnswer(status=status))


async def feedback_batch(request: web.Request) -> web.Response:
    """Take many feedbacks, each judged for itself and in order."""
    batch = await body.read(request, FeedbackBatch)
    items = [_item(raw) for raw in batch.feedback]
    said = [feedback for _, feedback in items]
    statuses = await request.app[ENGINE].feedback(said, key=caller(request))
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
        scopes=("feedback",),
    ),
    Operation(
        method="POST",
        path=SIGNED,
        handler=signed_feedback,
        summary="Say how good an answer was by a signed link, without a key",
        body=SignedFeedback,
        answer=FeedbackAnswer,
        errors=(403, 404, 503),
        scopes=(),
        parameters=(
            Parameter("decision_id", "As in the link."),
            Parameter("expires", "As in the link: when it ends, seconds since 1970."),
            Parameter("signature", "As in the link."),
            Parameter(TENANT, "As in the link, if it names one."),
        ),
    ),
    Operation(
        method="POST",
        path="/feedback/batch",
        handler=feedback_batch,
        summary="Say how good many answers were",
        body=FeedbackBatch,
        answer=BatchAnswer,
        errors=(503,),
        scopes=("feedback",),
    ),
)
