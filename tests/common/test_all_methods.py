"""All methods x all common checks."""

import pytest

from tokenry import catalog, checks

CASES = [
    pytest.param(
        cls,
        name,
        id=f"{cls.card.slug}-{name}",
        # Tracing takes seconds; tests/plugs has a fast case.
        marks=[pytest.mark.slow] if name == "compile" else [],
    )
    for cls in catalog.classes()
    for name in checks.names(cls)
]


@pytest.mark.parametrize(("cls", "name"), CASES)
def test_check(cls, name, request):
    if name == "compile":
        request.getfixturevalue("untyped")
    result = checks.one(cls, name)
    assert result.outcome in ("passed", "expected failure"), result.message


@pytest.mark.parametrize("cls", catalog.classes(), ids=lambda cls: cls.card.slug)
def test_expected_failures_are_declared_properly(cls):
    assert checks.declared(cls).outcome == "passed", checks.declared(cls).message


@pytest.mark.parametrize("cls", catalog.classes(), ids=lambda cls: cls.card.slug)
def test_file_is_named_after_the_slug(cls):
    assert cls.__module__ == f"tokenry.{cls.card.family}.{cls.card.slug.replace('-', '_')}"
