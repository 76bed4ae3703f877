"""Hashtags: what context, case and a knowledge base do to how a tag is read."""

from random import Random

import numpy as np
import pytest

from tokenry.data import load_aliases
from tokenry.errors import UsageError
from tokenry.linking import Hashtags
from tokenry.method import Aids, Side
from tokenry.words import word_counts

UNIGRAM = Hashtags(unigram=1.0, bigram=0.0, overlap=0.0, relation=0.0, case=0.0, coherence=0.0)

AMBIGUOUS = (
    ("nowhere", "nowhere", "this road leads nowhere, we are lost"),
    ("nowhere", "now here", "finally here in the studio, live now"),
    ("therapist", "therapist", "talked to my therapist about it"),
    ("therapist", "the rapist", "police have arrested the rapist"),
    ("speedofart", "speed of art", "drawing at full speed, the art of the minute"),
    ("speedofart", "speedo fart", "he let a fart go in his speedo"),
    ("choosespain", "choose spain", "flying to Madrid and Barcelona this summer"),
    ("choosespain", "chooses pain", "no gain without pain, he says"),
    ("notable", "notable", "one more notable speech of hers"),
    ("notable", "not able", "sorry, I am not able to come"),
    ("notable", "no table", "the restaurant had no table for us"),
    ("manslaughter", "manslaughter", "convicted of manslaughter today"),
    ("manslaughter", "mans laughter", "a loud laughter behind the door, a mans"),
    ("together", "together", "we did this together"),
    ("together", "to get her", "he did all that just to get her back"),
    ("inchina", "in china", "landing in Shanghai, then on to Beijing"),
    ("inchina", "inch in a", "every inch in a garden counts"),
    ("beinghana", "be in ghana", "the market of Accra, the hills of Kumasi"),
    ("superbowl", "super bowl|superbowl", "best seats for the bowl final"),
    ("superbowl", "superb owl", "look at the owl in that tree"),
)


@pytest.fixture(scope="module")
def places():
    base = load_aliases("places", least=1_200_000, languages=("de",))
    return Side(columns=base.columns(), keys=("title",), count=len(base))


def read_all(rule, rows, knowledge):
    """The first reading of each tag, and whether it is right."""
    tags, answers, texts = zip(*rows, strict=True)
    first = [own[0].words for own in rule.read(tags, texts, knowledge=knowledge)]
    right = [
        " ".join(words).lower() in answer.split("|")
        for words, answer in zip(first, answers, strict=True)
    ]
    return first, right


def test_claim_context_decides(places):
    first, full = read_all(Hashtags(), AMBIGUOUS, places)
    _, alone = read_all(UNIGRAM, AMBIGUOUS, places)
    assert sum(full) >= 16 > 10 >= sum(alone)
    # The same tag is read in another way in another text.
    tags = [tag for tag, *_ in AMBIGUOUS]
    read = {tag: {w for w, own in zip(first, tags, strict=True) if own == tag} for tag in tags}
    assert sum(len(ways) > 1 for ways in read.values()) >= 6


@pytest.mark.slow
def test_claim_the_right_words_are_among_the_first_twenty():
    draw = Random(0)
    words, _ = word_counts()
    frequent = [w for w in sorted(words, key=lambda w: -words[w])[:3000] if len(w) > 2]
    found = []
    for source in ("cities", "countries", "languages"):
        base = load_aliases(source, least=1_000_000, languages=("de",))
        found += [one for one in base if one.title.replace(" ", "").isalpha()]
    base = draw.sample([one for one in found if one.title.isascii()], 200)
    titles = [one.title.lower() for one in base]
    side = Side(
        columns={"title": titles, "prior": [one.prior for one in base]},
        keys=("title",),
        count=200,
    )
    answers = []
    for title in titles:
        parts = [title, *draw.choices(frequent, k=draw.choice([1, 2]))]
        draw.shuffle(parts)
        answers.append(" ".join(parts))
    tags = ["#" + answer.replace(" ", "") for answer in answers]
    read = Hashtags().read(tags, knowledge=side)
    ways = [{" ".join(one.words) for one in own} for own in read]
    assert sum(a in own for a, own in zip(answers, ways, strict=True)) / 200 >= 0.95


def test_upper_case_digits_underscores_and_apostrophes_tell_words_apart():
    cases = {
        "#NowHere": ("Now", "Here"),
        "#iLoveNYC2016": ("i", "Love", "NYC", "2016"),
        "#visit_new_york": ("visit", "new", "york"),
        "#don'tstop": ("don't", "stop"),
        "#don\u2019tstop": ("don\u2019t", "stop"),
        "#😀party🇩🇪": ("😀", "party", "🇩🇪"),
        "#speedofart": ("speed", "of", "art"),
    }
    for read, words in zip(Hashtags().read(list(cases)), cases.values(), strict=True):
        assert read[0].words == words
        assert sum(one.probability for one in read) == pytest.approx(1)


def test_other_scripts_need_names_or_counts(places):
    (read,) = Hashtags().read(["#大好き東京"], knowledge=places)
    assert any(one.words == ("大好き", "東京") and one.entities for one in read)
    counts = Side(columns={"word": ["大好き", "東京"], "count": [5, 5]}, keys=(), count=2)
    (read,) = Hashtags().read(["#大好き東京"], counts=counts)
    assert read[0].words == ("大好き", "東京")


def test_readings_restore_the_tag_and_long_or_empty_ones_are_read_too():
    tags = ["#ThisIsMixed2day", "a" * 150, "#" + "ab_" * 4, "#", "", None, "___"]
    read = Hashtags().read(tags)
    assert [len(own) > 0 for own in read] == [True, True, True, False, False, False, False]
    for tag, own in zip(tags, read, strict=True):
        for one in own:
            assert "".join(one.words) == tag.lstrip("#").replace("_", "")


def test_as_a_linker_it_gives_the_entities_of_the_readings(places):
    tags = ["#ilovenewyork", "#choosespain", None, "#nothing"]
    left = Side(
        columns={"tag": tags, "context": [None, "Madrid", "x", None]}, keys=("tag",), count=4
    )
    matcher = Hashtags().prepare(left, places, Aids())
    found = matcher.nearest(2, least=matcher.threshold)
    titles = [places.columns["title"][row] for row in found.right]
    assert (found.left.tolist(), titles) == ([0, 1], ["New York City", "Spain"])
    assert np.isnan(matcher.score(np.array([2]), np.array([0]))).all()
    every = matcher.nearest(3)
    np.testing.assert_array_equal(matcher.score(every.left, every.right), every.score)
    written = Side(columns={**left.columns, "raw": tags}, keys=("tag",), count=4)
    same = Hashtags(written="raw").prepare(written, places, Aids())
    np.testing.assert_array_equal(same.nearest(3).score, every.score)


def test_weights_are_learned_from_known_tags(places):
    rows = [row for row in AMBIGUOUS if row[0] in ("nowhere", "choosespain", "inchina")]
    fitted = UNIGRAM.fitted(*zip(*rows, strict=True), knowledge=places)
    assert sum(read_all(fitted, rows, places)[1]) > sum(read_all(UNIGRAM, rows, places)[1])
    assert fitted.overlap > 0
    assert fitted.relation > 0


def test_wrong_input_is_named(places):
    with pytest.raises(UsageError, match="1 contexts for 2 tags"):
        Hashtags().read(["a", "b"], ["c"])
    with pytest.raises(UsageError, match="2 answers for 1 tags"):
        Hashtags().fitted(["a"], ["a", "b"])
    with pytest.raises(UsageError, match="of no tag"):
        Hashtags().fitted(["ab"], ["c d"])
    with pytest.raises(UsageError, match="column 'word'"):
        Hashtags().read(["a"], counts=Side(columns={}, keys=(), count=0))
    side = Side(columns={"tag": ["a"]}, keys=("tag",), count=1)
    with pytest.raises(UsageError, match="'raw'"):
        Hashtags(written="raw").prepare(side, places, Aids())
