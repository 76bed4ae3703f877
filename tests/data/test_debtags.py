"""A package index: fields, facets, refusals."""

from __future__ import annotations

import pytest

from tokenry.data.debtags import debtags
from tokenry.errors import DataError

INDEX = """Package: zed
Version: 1
Tag: use::viewing, works-with::image:raster,
 works-with::image
Description: shows pictures
Section: graphics

Package: plain
Description: has no tags

Package: abc
Description: does this
 and that
Tag: role::program
"""


def test_tagged_packages_are_read_with_their_facets(tmp_path):
    path = tmp_path / "Packages"
    path.write_text(INDEX, encoding="utf-8")
    first, second = debtags(path)
    assert (first.name, first.text, first.tags) == ("abc", "does this and that", ("role::program",))
    assert (second.name, second.section) == ("zed", "graphics")
    assert second.facet("works-with") == (
        ("works-with", "image"),
        ("works-with", "image", "raster"),
    )
    assert second.facet("role") == ()


def test_an_index_without_tags_is_refused(tmp_path):
    path = tmp_path / "Packages"
    path.write_text("Package: plain\nDescription: none\n", encoding="utf-8")
    with pytest.raises(DataError, match="holds no tagged packages"):
        debtags(path)
    with pytest.raises(DataError, match="cannot be read"):
        debtags(tmp_path / "nowhere")
