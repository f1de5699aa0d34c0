"""From which similarity on do two questions mean the same? For `signals.rephrase_similarity`.

    python -m simulations.rephrase TABLE [--embedder minilm]

Questions and how their users might put them again, written for this study, in English, German,
French, Spanish and Chinese; against pairs of different prompts of one task of a real table, drawn
at random, which is what users who go on within their subject would look like at worst.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from bandit_router.config import EmbedderSettings
from bandit_router.embedding import make_embedder
from bandit_router.simulator import read_table

THRESHOLDS = (0.7, 0.75, 0.8, 0.85, 0.9)
ENGLISH = [
    ("how deep is the lake of Zurich", "what is the depth of Lake Zurich?"),
    ("write a regex that matches email addresses", "give me a regular expression for emails"),
    ("Why is the sky blue?", "explain why the sky looks blue"),
    ("how do I undo my last git commit", "undo the most recent commit in git"),
    ("convert 25 celsius to fahrenheit", "what is 25°C in Fahrenheit"),
    ("summarize the causes of World War I", "what were the main causes of the first world war?"),
    ("sort a dict by value in python", "python: how to sort a dictionary by its values"),
    ("best way to learn Spanish fast", "how can I learn Spanish quickly?"),
    ("is 17 a prime number", "prove that 17 is prime"),
    ("my pasta sauce is too salty, help", "how do I fix a pasta sauce with too much salt"),
    ("what does HTTP 502 mean", "meaning of a 502 bad gateway error"),
    ("derivative of x^2 sin x", "differentiate x squared times sine x"),
    ("write a birthday poem for my mother", "a poem for my mom's birthday please"),
    ("who wrote Don Quixote", "which author wrote Don Quixote?"),
    ("difference between a list and a tuple", "how do tuples differ from lists in Python"),
    ("how many calories are in a banana", "calories of one banana"),
    ("explain quantum entanglement simply", "explain entanglement to a child"),
    ("my code throws a NullPointerException", "why do I get a null pointer exception"),
]
OTHERS = [
    ("Wie tief ist der Zürichsee?", "Welche Tiefe hat der Zürichsee"),
    ("Schreib eine Absage für die Stelle", "Formuliere ein Absageschreiben für den Job"),
    ("Warum ist der Himmel blau?", "Erkläre, weshalb der Himmel blau aussieht"),
    ("Comment faire une pâte à crêpes ?", "Donne-moi la recette de la pâte à crêpes"),
    ("Pourquoi le ciel est-il bleu ?", "Explique pourquoi le ciel est bleu"),
    ("¿Cuál es la capital de Australia?", "Dime la capital de Australia"),
    ("¿Cómo aprendo inglés rápido?", "La mejor manera de aprender inglés rápidamente"),
    ("天空为什么是蓝色的？", "请解释天空呈蓝色的原因"),  # noqa: RUF001
]


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--embedder", default="minilm")
    args = parser.parse_args()
    encode = make_embedder(EmbedderSettings(name=args.embedder)).encode

    def cosines(pairs: list[tuple[str, str]]) -> np.ndarray:
        return (encode([a for a, _ in pairs]) * encode([b for _, b in pairs])).sum(axis=1)

    table = read_table(args.table)
    rng = np.random.default_rng(0)
    tasks = np.array(table.tasks)
    rows = rng.choice(len(tasks), 1000, replace=False)
    other = [int(rng.choice(np.flatnonzero((tasks == tasks[i]) & (np.arange(len(tasks)) != i))))
             for i in rows]  # fmt: skip
    drawn = [(table.prompts[i], table.prompts[j]) for i, j in zip(rows, other, strict=True)]
    columns = {"English": ENGLISH, "other languages": OTHERS, "other prompts, same task": drawn}
    found = {name: cosines(pairs) for name, pairs in columns.items()}
    print(f"| at least | {' | '.join(f'{n} ({len(c)})' for n, c in found.items())} |")
    print("|---" * (len(found) + 1) + "|")
    for threshold in THRESHOLDS:
        shares = [f"{(values >= threshold).mean():.0%}" for values in found.values()]
        print(f"| {threshold:g} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
