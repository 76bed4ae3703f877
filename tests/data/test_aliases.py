import pytest

from tokenry.data import AliasBase, Entity, load_aliases
from tokenry.errors import DataError, UnknownNameError, UsageError


@pytest.fixture(scope="module")
def places():
    return load_aliases("places", least=1_000_000, languages=("de", "fr"))


def test_cities_and_countries_know_their_names_and_each_other(places):
    munich = next(one for one in places if one.title == "Munich")
    assert {"München", "Monaco di Baviera", "ミュンヘン"} <= {*munich.names}
    assert munich.links == ("country:DE",)
    assert munich.id in places["country:DE"].links
    assert "country:FR" in places["country:DE"].links
    assert {"Deutschland", "Allemagne", "Federal Republic of Germany"} <= {
        *places["country:DE"].names
    }
    assert places["country:DE"].type == "country"
    assert "Berlin" in places["country:DE"].description


def test_every_link_leads_to_an_entity_and_no_name_comes_twice(places):
    ids = {one.id for one in places}
    assert all(link in ids for one in places for link in one.links)
    assert all(len({*one.names}) == len(one.names) and all(one.names) for one in places)


def test_a_name_means_the_greatest_first(places):
    meant = places.meant("MÜNCHEN")
    assert meant[0][0].startswith("city:")
    assert meant[0][1] == 1
    assert sum(share for _, share in places.meant("mexico")) == pytest.approx(1)
    assert places.meant("no such place") == []


def test_a_base_is_a_table_and_back(places):
    again = AliasBase.of_columns(places.columns(), "places")
    assert again.entities == places.entities


def test_languages_are_named_in_other_languages():
    found = load_aliases("languages", languages=("de",))
    german = next(one for one in found if one.title == "German")
    assert "Deutsch" in german.names
    assert german.prior > 8e7


def test_a_part_of_a_base_keeps_no_loose_links(places):
    part = places.only(lambda one: one.type == "city")
    assert len(part)
    assert all(one.links == () for one in part)


def test_a_log_counts_what_was_drawn_and_follows_the_priors():
    base = AliasBase(
        "two",
        (
            Entity(id="a", names=("Aix", "Aachen"), prior=9),
            Entity(id="b", names=("Bonn",), prior=1),
        ),
    )
    log = base.log(1000, seed=1)
    assert sum(log["count"]) == 1000
    assert {*log["id"]} == {"a", "b"}
    shares = dict(zip(log["alias"], log["count"], strict=True))
    assert 70 < shares["Bonn"] < 130
    high, low = sorted((shares["Aix"], shares["Aachen"]), reverse=True)
    assert high / low == pytest.approx(2, rel=0.2)  # Zipf's law with exponent 1
    assert base.log(1000, seed=1) == log
    noisy = base.log(1000, wrong=0.5, seed=1)
    assert ("Bonn", "a") in zip(noisy["alias"], noisy["id"], strict=True)


def test_bad_bases_are_refused():
    with pytest.raises(UnknownNameError, match="cities"):
        load_aliases("citys")
    with pytest.raises(UsageError, match="below 500"):
        load_aliases("cities", least=10)
    with pytest.raises(UsageError, match="nobody translated"):
        load_aliases("languages", languages=("xx",))
    with pytest.raises(DataError, match="no column 'title'"):
        AliasBase.of_columns({"id": [1]})
    with pytest.raises(DataError, match="same id"):
        AliasBase.of_columns({"id": [1, 1], "title": ["a", "b"]})
    with pytest.raises(DataError, match="has no name"):
        AliasBase.of_columns({"id": [1], "title": [None]})
