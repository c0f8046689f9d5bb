"""The order of versions: PEP 440 where both are of its kind, conda's order for what only conda has."""

from __future__ import annotations

from functools import cmp_to_key
from itertools import combinations

import pytest
from factories import few, many, other_versions, pep440_versions
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from envpanel.model.versions import canonicalize_name, compare, is_prerelease

# PEP 440, "Summary of permitted suffixes and relative ordering", with an epoch at the end.
ASCENDING = [
    *("1.0.dev456", "1.0a1", "1.0a2.dev456", "1.0a12.dev456", "1.0a12", "1.0b1.dev456"),
    *("1.0b2", "1.0b2.post345.dev456", "1.0b2.post345", "1.0rc1.dev456", "1.0rc1", "1.0"),
    *("1.0+abc.5", "1.0+abc.7", "1.0+5", "1.0.post456.dev34", "1.0.post456", "1.0.15"),
    *("1.1.dev1", "1.9", "1.10", "2024.1", "1!0.1"),
]


def test_numbers_are_compared_as_numbers() -> None:
    assert compare("1.9", "1.10") == 1
    assert compare("1.10", "1.9") == -1
    assert compare("1.9.9", "1.10") == 1
    assert compare("9", "10") == 1


def test_the_order_is_that_of_pep_440() -> None:
    for lower, higher in combinations(ASCENDING, 2):
        assert compare(lower, higher) == 1, (lower, higher)
        assert compare(higher, lower) == -1, (lower, higher)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.0", "1.0.0"),
        ("1.0", "v1.0"),
        ("1.0rc1", "1.0.RC-1"),
        ("1.0.post1", "1.0-1"),
        ("0!1", "1"),
        ("1+a.b", "1+A_b"),
    ],
)
def test_two_ways_to_write_a_version_are_equal(one: str, other: str) -> None:
    assert compare(one, other) == compare(other, one) == 0


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("2024a", "2024b"),
        ("2023d", "2024a"),
        ("2024g", "2025a"),
        ("1.1.1k", "1.1.1l"),
        ("1.1.1w", "3.0.0"),
        ("1.0.2zd", "1.0.2ze"),
        ("9d", "9e"),
        ("9e", "9f"),
        ("9e", "10"),
        ("8.4.1", "9e"),
        ("1.8_9", "1.8_10"),
        ("5.9.x9", "5.9.x10"),
    ],
)
def test_versions_of_conda_are_in_order(lower: str, higher: str) -> None:
    assert compare(lower, higher) == 1
    assert compare(higher, lower) == -1


@pytest.mark.parametrize("release", ["1.1", "1.0", "2.0.0"])
def test_letters_that_pep_440_does_not_know_stand_below_the_release(release: str) -> None:
    """As conda has it, whatever the last number of the release is."""
    assert compare(f"{release}_final_candidate", release) == 1


@many
@given(pep440_versions, pep440_versions)
def test_compare_agrees_with_packaging(one: str, other: str) -> None:
    old, new = Version(one), Version(other)
    assert compare(one, other) == (new > old) - (new < old)


@many
@given(st.lists(pep440_versions, min_size=2, max_size=6))
def test_pep_440_versions_are_totally_ordered(versions: list[str]) -> None:
    assert_ordered(versions)


@many
@given(st.lists(other_versions, min_size=2, max_size=6))
def test_versions_of_conda_are_totally_ordered(versions: list[str]) -> None:
    assert_ordered(versions)


def assert_ordered(versions: list[str]) -> None:
    """Antisymmetric and transitive: sorting by pairs puts every pair in order."""
    ordered = sorted(versions, key=cmp_to_key(lambda one, other: compare(other, one)))
    for lower, higher in combinations(ordered, 2):
        assert compare(lower, higher) in (0, 1)
        assert compare(lower, higher) == -compare(higher, lower)
    for one, middle, other in combinations(ordered, 3):
        if compare(one, middle) == compare(middle, other) == 0:
            assert compare(one, other) == 0


@many
@given(st.text(max_size=20), st.text(max_size=20))
def test_any_two_texts_can_be_compared(one: str, other: str) -> None:
    assert compare(one, other) == -compare(other, one)
    assert compare(one, one) == 0


def test_numbers_of_any_length_can_be_compared() -> None:
    """Python's int() refuses text of more than 4300 digits."""
    long = "9" * 5000
    assert compare("1.0", long) == 1
    assert compare(f"{long}_x", "1.0") == -1


@few
@given(pep440_versions)
def test_a_pre_release_is_what_pep_440_calls_one(version: str) -> None:
    assert is_prerelease(version) is Version(version).is_prerelease


def test_what_is_not_pep_440_is_no_pre_release() -> None:
    assert is_prerelease("1.0rc1")
    assert is_prerelease("1.0.dev1")
    assert not is_prerelease("1.0.post1")
    assert not is_prerelease("9e")
    assert not is_prerelease("")


def test_names_are_those_of_pep_503() -> None:
    assert canonicalize_name("Rapid_Fuzz") == canonicalize_name("rapid.fuzz") == canonicalize_name("RAPID--fuzz")
    assert canonicalize_name("Rapid_Fuzz") == "rapid-fuzz"
