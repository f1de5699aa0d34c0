"""Hand-written rules on features of the text: code, mathematics, language, length, question."""

from __future__ import annotations

import re
from typing import Literal

import msgspec
import numpy as np

from ..config import Rule
from .base import Choice, Context
from .pick import PricedPolicy, certain

Kind = Literal["choice", "yes-no", "what", "why", "how", "task", "other"]

_CODE = re.compile(
    r"```|\bdef \w+\(|\bclass \w+[:({]|#include\b|\bimport \w+|\bfunction\b|\bSELECT\b.+\bFROM\b"
    r"|[;{}]\s*$|\b(python|javascript|java|c\+\+|rust|golang|sql|regex|algorithm)\b",
    re.IGNORECASE | re.MULTILINE,
)
_MATHS = re.compile(
    r"\$[^$]+\$|\\(frac|sum|int|sqrt)|\d\s*[-+*/^=]\s*\d|\b(solve|equation|integral|derivative"
    r"|probability|polynomial|theorem|prove|triangle|how many|how much|percent)\b",
    re.IGNORECASE,
)
_CHOICE = re.compile(r"^\s*\(?[A-Da-d][).:]\s", re.MULTILINE)
_KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("choice", _CHOICE),
    ("yes-no", re.compile(r"\b(true or false|yes or no)\b|^(is|are|do|does|did|can)\b", re.I)),
    ("why", re.compile(r"\bwhy\b", re.I)),
    ("how", re.compile(r"\bhow\b", re.I)),
    ("what", re.compile(r"\b(what|which|who|when|where)\b", re.I)),
    ("task", re.compile(r"^(write|create|implement|translate|summari[sz]e|explain|list)\b", re.I)),
)
_WORDS = {
    "en": {"the", "and", "of", "to", "is", "in", "that", "for", "with", "what"},
    "de": {"der", "die", "und", "das", "ist", "nicht", "ein", "eine", "zu", "mit"},
    "fr": {"le", "la", "les", "et", "est", "une", "des", "que", "pour", "dans"},
    "es": {"el", "los", "las", "es", "una", "que", "para", "por", "con", "del"},
    "it": {"il", "che", "di", "non", "una", "per", "sono", "con", "gli", "della"},
    "pt": {"o", "os", "que", "não", "uma", "para", "com", "em", "do", "da"},
}
_SCRIPTS = (
    ("zh", re.compile(r"[\u4e00-\u9fff]")),
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
)
_LOOK = 4_000  # characters: longer texts are judged by their beginning


class Features(msgspec.Struct, frozen=True):
    """What can be seen of a prompt without understanding it."""

    code: bool
    maths: bool
    language: str
    chars: int
    question: Kind


def extract(prompt: str) -> Features:
    """Return the features of a prompt; reads its first 4,000 characters only.

    Examples
    --------
    >>> extract("Why does 12 * 12 = 144?")
    Features(code=False, maths=True, language='en', chars=23, question='why')
    """
    head = prompt[:_LOOK].strip()
    return Features(
        code=bool(_CODE.search(head)),
        maths=bool(_MATHS.search(head)),
        language=language(head),
        chars=len(prompt),
        question=next((kind for kind, pattern in _KINDS if pattern.search(head)), "other"),
    )


def language(text: str) -> str:
    """Return the language by script or by its most frequent small words; English if in doubt."""
    letters = max(sum(c.isalpha() for c in text), 1)
    for code, pattern in _SCRIPTS[1::-1] + _SCRIPTS[2:]:  # Japanese before Chinese
        if len(pattern.findall(text)) > 0.2 * letters:
            return code
    words = re.findall(r"\w+", text.lower())
    counts = {code: sum(word in known for word in words) for code, known in _WORDS.items()}
    return max(counts, key=lambda code: (counts[code], code == "en"))


class FeaturesPolicy(PricedPolicy):
    """The first rule that fits decides; without one, the cheapest.

    Parameters
    ----------
    rules
        See `config.Rule`; the settings' own, or the built-in ones: code, mathematics and long
        prompts to the dearest, other languages and questions why or how to the middle.
    """

    name = "features"

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        super().__init__()
        self._rules = rules or DEFAULT_RULES

    def choose(self, context: Context, rng: np.random.Generator) -> Choice:
        """Choose by the first rule that fits."""
        seen = extract(context.prompt or "")
        ranked = self.ranked(context.arms)
        for rule in self._rules:
            if fits(rule, seen):
                named = next((name for name in rule.models if name in context.arms), None)
                if named is not None:
                    return certain(named, context)
                if rule.tier is not None:
                    return certain(_tier(rule.tier, ranked), context)
        return certain(ranked[0], context)


def fits(rule: Rule, seen: Features) -> bool:
    """Tell whether every condition that a rule gives holds."""
    return (
        (rule.code is None or rule.code == seen.code)
        and (rule.maths is None or rule.maths == seen.maths)
        and (not rule.languages or seen.language in rule.languages)
        and (not rule.not_languages or seen.language not in rule.not_languages)
        and (not rule.questions or seen.question in rule.questions)
        and (rule.min_chars is None or seen.chars >= rule.min_chars)
        and (rule.max_chars is None or seen.chars <= rule.max_chars)
    )


def _tier(tier: str, ranked: list[str]) -> str:
    return ranked[{"cheapest": 0, "middle": len(ranked) // 2, "dearest": -1}[tier]]


DEFAULT_RULES = (
    Rule(code=True, tier="dearest"),
    Rule(maths=True, tier="dearest"),
    Rule(min_chars=2_000, tier="dearest"),
    Rule(not_languages=("en",), tier="middle"),
    Rule(questions=("why", "how"), tier="middle"),
)
