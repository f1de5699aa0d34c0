"""What can be seen of a prompt without understanding it, and the rules that decide by it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit_router.config import Rule, parse_config
from bandit_router.exceptions import ConfigError
from bandit_router.policies.features import extract, fits


@pytest.mark.parametrize(
    ("prompt", "language", "question"),
    [
        ("How do I do this?", "en", "how"),
        ("What do you do for a living?", "en", "what"),
        ("Is this true?", "en", "yes-no"),
        ("A) yes\nB) no\nWhich one is right?", "en", "choice"),
        ("Write a poem about the sea.", "en", "task"),
        ("hello", "en", "other"),
        ("Wie funktioniert ein Motor und wozu ist er da?", "de", "how"),
        ("Pourquoi le ciel est-il bleu ?", "fr", "why"),
        ("¿Por qué el cielo es azul?", "es", "why"),
        ("Perché il cielo è blu?", "it", "why"),
        ("Por que o céu é azul? Explique em uma frase", "pt", "why"),
        ("Waarom is de lucht blauw en hoe komt dat?", "nl", "why"),
        ("为什么天空是蓝色的", "zh", "why"),
        ("なぜ空は青いのですか", "ja", "why"),
        ("Почему небо голубое?", "ru", "why"),
        ("하늘은 왜 파란가요?", "ko", "other"),
    ],
)
def test_language_and_question(prompt: str, language: str, question: str) -> None:
    seen = extract(prompt)
    assert (seen.language, seen.question) == (language, question)


@pytest.mark.parametrize(
    ("prompt", "code", "maths"),
    [
        ("def f(x):\n    return x", True, False),
        ("Fix this C++ code", True, False),
        ("import numpy as np\nx = 1", True, False),
        ("Write a function that reverses a list", True, False),
        ("What is the function of the liver?", False, False),
        ("import duties on cars", False, False),
        ("Solve 3x + 2 = 5", False, True),
        ("Prove the theorem of Pythagoras", False, True),
        ("Tom has 3 apples and eats one. How many are left?", False, True),
        ("How much do you like Paris?", False, False),
    ],
)
def test_code_and_maths(prompt: str, code: bool, maths: bool) -> None:
    seen = extract(prompt)
    assert (seen.code, seen.maths) == (code, maths)


@given(st.text(max_size=300))
def test_any_text_has_features_and_a_rule_without_conditions_fits_it(prompt: str) -> None:
    seen = extract(prompt)
    assert seen.chars == len(prompt)
    assert fits(Rule(tier="cheapest"), seen)
    assert fits(Rule(min_chars=1), seen) == bool(prompt)


def test_a_rule_with_a_wrong_key_or_model_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"bandit\.rules\.languges.*languages"):
        parse_config({"bandit": {"rules": [{"languges": ["de"]}]}})
    with pytest.raises(ConfigError, match=r"bandit\.rules: 'larg'.*'large'"):
        parse_config({"models": [{"name": "large"}], "bandit": {"rules": [{"models": ["larg"]}]}})
