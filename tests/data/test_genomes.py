"""The genomes that ship with the package."""

from tokenry.data import load_text


def test_four_species_with_parts_to_learn_from_and_to_test_with():
    data = load_text("genomes")
    assert len(data.examples) == 8
    assert {len(e.text) for e in data.where(split="train")} == {100_000}
    assert {len(e.text) for e in data.where(split="test")} == {40_000}
    assert all(set(e.text) <= set("ACGTN") for e in data)
    assert len({e.domain for e in data}) == 4


def test_the_share_of_g_and_c_is_that_of_the_species():
    """Published: E. coli 51 %, H. pylori 39 %, S. aureus 33 %, V. cholerae 47 %."""
    found = {
        e.domain: sum(e.text.count(base) for base in "GC") / len(e.text)
        for e in load_text("genomes").where(split="train")
    }
    for name, share in (("Escherichia coli", 0.51), ("Helicobacter pylori", 0.39)):
        assert abs(found[name] - share) < 0.03
    for name, share in (("Staphylococcus aureus", 0.33), ("Vibrio cholerae", 0.47)):
        assert abs(found[name] - share) < 0.03
