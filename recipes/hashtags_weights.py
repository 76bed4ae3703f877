"""Learn the weights of the hashtag ranker on tags made of frequent words and places.

Half of the tags join one or two frequent English words with a city or a country, or are words
alone; the other half can be read in two ways that both are frequent words or places, of which one
is drawn. The text around a tag holds distractors, often words of the tag, and often a place that
the tag's place has to do with. Run from the repository root (about a minute on one core):

    python recipes/hashtags_weights.py
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from random import Random

from tokenry.data import AliasBase, load_aliases
from tokenry.linking import Hashtags
from tokenry.method import Side
from tokenry.words import word_counts

FREQUENT = 4000


def side(base: AliasBase) -> Side:
    """A knowledge base as the right table."""
    return Side(columns=base.columns(), keys=("title",), count=len(base))


def frequent(count: int = FREQUENT) -> list[str]:
    """Frequent English words of at least three letters."""
    words, _ = word_counts()
    order = sorted(words, key=lambda word: -words[word])
    return [word for word in order if len(word) > 2][:count]


def double(words: list[str], count: int, draw: Random) -> list[tuple[str, str]]:
    """Pairs of readings of one tag: a word and its two parts, or two words cut at two places."""
    known = set(words)
    starts = defaultdict(list)
    for word in words:
        for at in range(3, len(word) - 2):
            if word[:at] in known:
                starts[word[at:]].append((word, word[:at]))  # word = shorter word + rest
    found = [
        (word, f"{word[:at]} {word[at:]}")
        for word in words
        for at in range(3, len(word) - 2)
        if word[:at] in known and word[at:] in known
    ]
    for rest, pairs in starts.items():
        tails = [word for word in words if word.startswith(rest) and word[len(rest) :] in known]
        found += [
            (f"{long} {tail[len(rest) :]}", f"{short} {tail}")
            for long, short in pairs
            for tail in tails
        ]
    return draw.sample(sorted(set(found)), min(count, len(set(found))))


def text_around(answer: str, base: AliasBase, words: list[str], draw: Random) -> str:
    """Distractors, and in half of the cases each words of the tag and places near its place."""
    near: list[str] = []
    for word in answer.split():
        for key, _ in base.meant(word)[:1]:
            links = base[key].links
            near += [base[link].title for link in draw.sample(links, min(2, len(links)))]
    text = draw.choices(words, k=6)
    if draw.random() < 0.5:
        text += near
    if draw.random() < 0.5:
        text += draw.sample(answer.split(), draw.randint(1, len(answer.split())))
    draw.shuffle(text)
    return " ".join(text)


def made_up(base: AliasBase, count: int, seed: int) -> list[tuple[str, str, str]]:
    """Tags, their words, and texts around them."""
    draw, words = Random(seed), frequent()
    titles = [one.title.lower() for one in base if one.links]
    titles = [title for title in titles if title.replace(" ", "").isalpha() and title.isascii()]
    answers = [
        draw.choice(pair) for pair in double([*frequent(3 * FREQUENT), *titles], count // 2, draw)
    ]
    for _ in range(count - len(answers)):
        parts = draw.choices(words, k=draw.choice([1, 1, 2]))
        if draw.random() < 0.7:
            parts.insert(draw.randrange(len(parts) + 1), draw.choice(titles))
        answers.append(" ".join(parts))
    found = []
    for answer in answers:
        cased = draw.random() < 0.2
        tag = (answer.title() if cased else answer).replace(" ", "")
        found.append((f"#{tag}", answer, text_around(answer, base, words, draw)))
    return found


def main() -> None:
    """Fit, and show what was right with the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tags", type=int, default=600)
    args = parser.parse_args()
    base = load_aliases("places", least=500_000, languages=("de",))
    rows = made_up(base, args.tags, seed=0)
    tags, answers, texts = (list(part) for part in zip(*rows, strict=True))
    fitted = Hashtags().fitted(tags, answers, texts, knowledge=side(base))
    print(fitted.describe())
    rows = made_up(base, args.tags, seed=1)
    for rule in (fitted, Hashtags(unigram=1, bigram=0, relation=0, overlap=0, case=0, coherence=0)):
        tags, answers, texts = (list(part) for part in zip(*rows, strict=True))
        read = rule.read(tags, texts, knowledge=side(base))
        first = [" ".join(own[0].words).lower() for own in read]
        held = [{" ".join(one.words).lower() for one in own} for own in read]
        right = sum(a == b for a, b in zip(first, answers, strict=True))
        among = sum(a in own for a, own in zip(answers, held, strict=True))
        print(rule.describe(), right / len(rows), among / len(rows))


if __name__ == "__main__":
    main()
