"""``GET /signals``: where feedback comes from, and what it is worth."""

from __future__ import annotations

from aiohttp import web

from ...router import Router
from .. import body
from ..chronicle import Chronicle
from ..keys import ENGINE, WATCH
from ..openapi import Operation
from ..wire import JudgeAnswer, SignalAnswer, SignalsAnswer, SourceAnswer
from .agreement import PEOPLE, Word, agreement, words
from .attached import SIGNALS
from .judge import AnswerJudge
from .lines import Line


async def signals(request: web.Request) -> web.Response:
    """Say what every source of feedback has said, and how it goes with what people say."""
    router = await request.app[ENGINE].wait()

    def view(chronicle: Chronicle) -> tuple[int, dict[str, list[Word]]]:
        return len(chronicle.histories), words(chronicle.histories.values())

    decisions, said = await request.app[WATCH].look(view)
    ours = request.app[SIGNALS]
    answer = SignalsAnswer(
        decisions=decisions,
        sources=[_source(router, name, said[name]) for name in sorted(said)],
        signals=[_signal(line) for line in ours.lines],
        answer_judge=None if ours.judge is None else _judge(ours.judge),
    )
    return body.answer(answer)


def _source(router: Router, name: str, said: list[Word]) -> SourceAnswer:
    people = None if name == PEOPLE else agreement([(word[0], word[1]) for word in said])
    return SourceAnswer(
        source=name,
        decisions=len(said),
        mean_reward=sum(word[0] for word in said) / len(said),
        weight=router.settings.feedback.weight(name),
        reliability=sum(word[2] for word in said) / len(said),
        with_people=people,
    )


def _signal(line: Line) -> SignalAnswer:
    counts = {name: line.counts[name] for name in ("seen", "told", "dropped", "failed")}
    return SignalAnswer(signal=line.name, waiting=line.waiting, **counts)


def _judge(judge: AnswerJudge) -> JudgeAnswer:
    ours = judge.settings
    return JudgeAnswer(
        method=ours.method,
        model=ours.model,
        share=ours.share,
        spent_today_usd=judge.spent_today,
        usd_per_day=ours.usd_per_day,
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/signals",
        handler=signals,
        summary="Where feedback comes from, and how it goes with what people say",
        answer=SignalsAnswer,
        errors=(503,),
    ),
)
