"""Hand-written rules on features of the text: code, mathematics, language, length, question."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Literal

import msgspec

from ..bandits.draws import Draws
from ..config import Rule
from .base import Choice, Context
from .pick import PricedPolicy, certain

Kind = Literal["choice", "yes-no", "what", "why", "how", "task", "other"]

_CODE = re.compile(
    r"```|\bdef \w+\(|\bclass \w+[:({]|#include\b|^\s*import [\w.]+( as \w+)?\s*$"
    r"|^\s*from [\w.]+ import\b|\bfunction \w*\(|\bwrite an? (\w+ )?function\b"
    r"|\bSELECT\b.+\bFROM\b|[;{}]\s*$|\b(python|javascript|typescript|java|c\+\+|c#|golang|sql"
    r"|regex|algorithm|html|css|bash|unit tests?|refactor|debug|stack trace|compiler)(?!\w)",
    re.IGNORECASE | re.MULTILINE,
)
_MATHS = re.compile(
    r"\$[^$]+\$|\\(frac|sum|int|sqrt)|\d\s*[-+*/^=]\s*\d|\b(solve|equation|integral|derivative"
    r"|probability|polynomial|theorem|prove|triangle|prime number)\b",
    re.IGNORECASE,
)
_COUNTING = re.compile(r"\b(how many|how much|percent|average)\b|%", re.IGNORECASE)
_CHOICE = re.compile(r"^\s*\(?[A-Da-d][).:]\s", re.MULTILINE)
_KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("choice", _CHOICE),
    ("yes-no", re.compile(r"\b(true or false|yes or no)\b|^(is|are|do|does|did|can)\b", re.I)),
    ("why", re.compile(r"\bwhy\b", re.I)),
    ("how", re.compile(r"\bhow\b", re.I)),
    ("what", re.compile(r"\b(what|which|who|when|where)\b", re.I)),
    ("task", re.compile(r"^(write|create|implement|translate|summari[sz]e|explain|list)\b", re.I)),
)
_ELSEWHERE: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (
        "why",
        re.compile(r"\b(warum|pourquoi|por qué|perché|por que|waarom|почему)\b|为什么|なぜ", re.I),
    ),
    ("how", re.compile(r"\b(wie|comment|cómo|come|como|hoe|как)\b|如何|怎么|どう", re.I)),
    (
        "what",
        re.compile(r"\b(was|wer|wann|wo|quel|quelle|qué|cuál|cosa|quale|qual|wat|что)\b", re.I),
    ),
    (
        "task",
        re.compile(r"^(schreib|écris|escrib|scrivi|escreva|schrijf|напиши|写|translate)", re.I),
    ),
)
_ENGLISH = (
    "the and of to is in that for with what how why which who are you it this on as be do does did"
    " can i my me your from have has not a an or if by at when where write explain give"
)
_WORDS = {  # small words that are no English ones, too
    "de": "der und das ist nicht ein eine einen wie zu mit auf für von den dem sich auch warum ich"
    " wir werden wird kann oder aber bei nach über erkläre schreibe",
    "fr": "le la les et est une des que pour dans qui sur avec ce cette il elle je vous nous du au"
    " pourquoi comment quel quelle sont écris explique",
    "es": "el los las una que para por con del qué cómo como es en se su lo más está puede cuál"
    " porque escribe explica son",
    "it": "il che di non una per sono con gli della nel è come perché quale cosa si dei alla le"
    " scrivi spiega questo",
    "pt": "os que não uma para com em da um é como por dos das mais qual você são ao isso escreva"
    " explique porque",
    "nl": "het een van en dat niet met voor zijn op hoe wat waarom ik je wordt schrijf ook naar",
}
_SMALL = {code: frozenset(words.split()) for code, words in {**_WORDS, "en": _ENGLISH}.items()}
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
    spoken = language(head)
    kinds = _KINDS if spoken == "en" else (*_ELSEWHERE, *_KINDS[:1])
    counts = any(c.isdigit() for c in head) and _COUNTING.search(head)
    return Features(
        code=bool(_CODE.search(head)),
        maths=bool(_MATHS.search(head) or counts),
        language=spoken,
        chars=len(prompt),
        question=next((kind for kind, pattern in kinds if pattern.search(head)), "other"),
    )


def language(text: str) -> str:
    """Return the language by script or by its most frequent small words; English if in doubt."""
    letters = max(sum(c.isalpha() for c in text), 1)
    for code, pattern in _SCRIPTS[1::-1] + _SCRIPTS[2:]:  # Japanese before Chinese
        if len(pattern.findall(text)) > 0.2 * letters:
            return code
    words = re.findall(r"\w+", text.lower())
    counts = {code: sum(word in known for word in words) for code, known in _SMALL.items()}
    best = max(counts, key=lambda code: (counts[code], code == "en"))
    return best if counts[best] >= min(2, len(words)) else "en"


class FeaturesPolicy(PricedPolicy):
    """The first rule that fits decides; without one, the cheapest.

    Parameters
    ----------
    rules
        See `config.Rule`; the settings' own, or the built-in ones: code, mathematics and long
        prompts to the dearest, other languages and questions why or how to the middle.
    """

    name = "features"
    reads = True

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        super().__init__()
        self._rules = rules or DEFAULT_RULES

    def sees(self, prompt: str | None) -> Hashable:
        """Return its features."""
        return extract(prompt or "")

    def choose(self, context: Context, draws: Draws) -> Choice:
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
