"""Tables about feedback: whose word counts how much, and what the service says by itself."""

from __future__ import annotations

from typing import Literal

import msgspec

from .kinds import Count, Dollars, Fraction, NonNegative, Positive, Table

SIGNAL_WEIGHTS = {"verifier": 0.5, "implicit": 0.3, "judge": 0.5}
"""What the families of sources count that the service itself speaks for; see `FeedbackSettings`."""


class FeedbackSettings(Table, frozen=True):
    """`[feedback]`: how much each source counts; a source not named counts `default_weight`.

    The part of a source's name before a colon is its family: `weights` may name either, the
    source first. The families of the service's own signals (`verifier`, `implicit`, `judge`)
    count less than a person unless they are named.

    Where requests name several end users, the feedback of one user's decisions counts in full
    for `user_cap` of them in `user_window` decisions of the whole service, and beyond that only
    as the window moves on; where several API keys can give feedback, `key_cap` says it of a key.
    With `estimate_reliability`, a source whose word agrees less with what was expected than that
    of the best source counts less. At most `max_sources` may speak of one decision.
    """

    weights: dict[str, NonNegative] = msgspec.field(default_factory=dict)
    default_weight: NonNegative = 1.0
    user_cap: Positive | None = 500.0
    key_cap: Positive | None = 2_000.0
    user_window: Positive = 10_000.0
    estimate_reliability: bool = True
    max_sources: Count = 100

    def weight(self, source: str) -> float:
        """Return what a source counts."""
        family, given = family_of(source), self.weights
        if given and (source in given or family in given):
            return given[source] if source in given else given[family]
        return SIGNAL_WEIGHTS.get(family, self.default_weight)


class SignalsSettings(Table, frozen=True):
    """`[signals]`: what the gateway tells of its answers by itself; see docs/feedback.md.

    `schema`: whether an answer is valid by the JSON schema that was asked for; `tools`: whether
    its tool calls are; `answer`: an answer that is empty, or a refusal (said so by the provider,
    or short and beginning with one of `refusals`), counts as bad. `implicit`: an answer whose
    user asks the same again is bad, one whose user goes on is good: the same messages again in a
    session, the same question again within `retry_s`, or one whose embedding has a cosine of at
    least `rephrase_similarity` with the last one's; a session is forgotten after `session_s`.

    `check` names a Python function ``"package.module:function"``, and `webhook` a URL, that are
    shown every answer and may say how good it is within `timeout_s`; `webhook_token_env` names
    the variable that holds the webhook's bearer token. At most `queue` answers wait for a signal;
    more are let pass unseen.
    """

    schema: bool = True
    tools: bool = True
    answer: bool = True
    refusals: tuple[str, ...] = (
        "i'm sorry, but i can't",
        "i'm sorry, but i cannot",
        "i'm sorry, i can't",
        "i can't assist",
        "i can't help with",
        "i cannot help with",
        "i'm unable to",
        "es tut mir leid, aber ich kann",
        "je suis désolé, mais je ne peux pas",
        "lo siento, pero no puedo",
        "desculpe, mas não posso",
        "mi dispiace, ma non posso",
        "抱歉,我无法",
        "很抱歉,我无法",
        "申し訳ありませんが",
    )
    implicit: bool = True
    rephrase_similarity: Fraction = 0.8
    retry_s: NonNegative = 60.0
    session_s: Positive = 3_600.0
    check: str | None = None
    webhook: str | None = None
    webhook_token_env: str | None = None
    timeout_s: Positive = 10.0
    queue: Count = 1_000


class AnswerJudgeSettings(Table, frozen=True):
    """`[answer_judge]`: the LLM that grades a `share` of the answers, in the background.

    With the method `rubric` it marks an answer from 0 to 10 by `rubric`; with `pairwise` another
    eligible model, drawn at random, answers too and the judge says which answer is better.
    `base_url` is OpenAI-compatible; the key comes from the environment variable `api_key_env`.
    It is shown at most `max_chars` characters of each text. Once asking (and the second answers)
    has cost `usd_per_day`, nothing is asked until the next day (UTC).
    """

    share: Fraction = 0.0
    method: Literal["rubric", "pairwise"] = "rubric"
    rubric: str = "Is it correct, complete, to the point, and what the user asked for?"
    base_url: str | None = None
    api_key_env: str | None = None
    model: str | None = None
    timeout_s: Positive = 60.0
    usd_per_day: Dollars = 1.0
    max_chars: Count = 8_000
    input_usd_per_m: NonNegative = 0.15
    output_usd_per_m: NonNegative = 0.60


def family_of(source: str) -> str:
    """Return the family of a source of feedback: its name up to the first colon."""
    return source.partition(":")[0]
