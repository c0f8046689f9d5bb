"""The diff of two package sets: what it says, and the laws that make it one."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest
from factories import few, many, package, package_sets
from hypothesis import given
from hypothesis import strategies as st

from envpanel.model.diff import Changed, Diff, Moved, Present, PythonChange, Source, diff
from envpanel.model.nouns import PYTHONS, Manager, Origin, Package
from envpanel.model.versions import compare


def applied(difference: Diff, old: Iterable[Package]) -> dict[str, str]:
    """Version by name after the diff."""
    versions = {entry.name: entry.version for entry in old}
    for gone in difference.uninstalled:
        assert versions.pop(gone.name) == gone.version
    for come in difference.installed:
        assert come.name not in versions
        versions[come.name] = come.version
    for moved in difference.upgraded + difference.downgraded:
        assert versions[moved.name] == moved.old
        versions[moved.name] = moved.new
    for changed in difference.changed:
        assert compare(versions[changed.name], changed.version) == 0
        versions[changed.name] = changed.version
    return versions


@few
@given(package_sets)
def test_nothing_differs_from_itself(packages: tuple[Package, ...]) -> None:
    nothing = diff(packages, packages, old_python="3.11", new_python="3.11")
    assert nothing == Diff()
    assert not nothing
    assert nothing.counts == ""
    assert nothing.names == frozenset()


@few
@given(package_sets)
def test_against_nothing_all_is_installed(packages: tuple[Package, ...]) -> None:
    assert {entry.name: entry.version for entry in diff((), packages).installed} == {
        entry.name: entry.version for entry in packages
    }
    assert diff((), packages).uninstalled == ()


@many
@given(package_sets, package_sets)
def test_the_diff_applied_to_the_old_set_gives_the_new(old: tuple[Package, ...], new: tuple[Package, ...]) -> None:
    """Up to how a version is written: 1.0 and 1.0.0 are one."""
    result = applied(diff(old, new), old)
    assert result.keys() == {entry.name for entry in new}
    for entry in new:
        assert compare(result[entry.name], entry.version) == 0


@many
@given(package_sets, package_sets)
def test_backwards_it_is_mirrored(old: tuple[Package, ...], new: tuple[Package, ...]) -> None:
    """Installed becomes uninstalled, upgraded downgraded; asked-for is said of the new side, so it is left out."""
    there = diff(old, new, old_python="3.11", new_python="3.12")
    back = diff(new, old, old_python="3.12", new_python="3.11")
    assert back.installed == there.uninstalled
    assert back.uninstalled == there.installed
    assert moves(back.upgraded) == {(name, new, old) for name, old, new in moves(there.downgraded)}
    assert moves(back.downgraded) == {(name, new, old) for name, old, new in moves(there.upgraded)}
    assert {(entry.name, entry.old, entry.new) for entry in back.changed} == {
        (entry.name, entry.new, entry.old) for entry in there.changed
    }
    assert back.python == PythonChange(old="3.12", new="3.11")
    assert back.names == there.names


def moves(entries: tuple[Moved, ...]) -> set[tuple[str, str, str]]:
    return {(entry.name, entry.old, entry.new) for entry in entries}


@many
@given(package_sets, package_sets)
def test_each_package_stands_once_and_in_order(old: tuple[Package, ...], new: tuple[Package, ...]) -> None:
    difference = diff(old, new)
    lists = [
        [entry.name for entry in part]
        for part in (
            difference.installed,
            difference.uninstalled,
            difference.upgraded,
            difference.downgraded,
            difference.changed,
        )
    ]
    for part in lists:
        assert part == sorted(part)
    everything = [name for part in lists for name in part]
    assert len(everything) == len(set(everything))
    assert difference.names == frozenset(everything)


@many
@given(package_sets, package_sets)
def test_upgrades_go_up_and_downgrades_go_down(old: tuple[Package, ...], new: tuple[Package, ...]) -> None:
    difference = diff(old, new)
    assert all(compare(entry.old, entry.new) == 1 for entry in difference.upgraded)
    assert all(compare(entry.old, entry.new) == -1 for entry in difference.downgraded)


@few
@given(package_sets, package_sets, st.randoms(use_true_random=False))
def test_the_order_of_the_sets_does_not_matter(
    old: tuple[Package, ...], new: tuple[Package, ...], random: Random
) -> None:
    shuffled_old, shuffled_new = list(old), list(new)
    random.shuffle(shuffled_old)
    random.shuffle(shuffled_new)
    assert diff(shuffled_old, shuffled_new) == diff(old, new)


def test_from_1_9_to_1_10_is_an_upgrade() -> None:
    difference = diff([package("polars", "1.9")], [package("polars", "1.10")])
    assert difference == Diff(upgraded=(Moved(name="polars", old="1.9", new="1.10", requested=True),))
    assert diff([package("polars", "1.10")], [package("polars", "1.9")]).downgraded[0].new == "1.9"


@pytest.mark.parametrize(
    ("old", "new"), [("1.0rc1", "1.0"), ("1.0", "1.0.post1"), ("2.1.0+cpu", "2.1.0+cu121"), ("2024.1", "1!1.0")]
)
def test_an_upgrade_is_what_pep_440_says(old: str, new: str) -> None:
    assert diff([package("torch", old)], [package("torch", new)]).upgraded == (
        Moved(name="torch", old=old, new=new, requested=True),
    )


def test_one_version_written_in_two_ways_is_no_difference() -> None:
    assert not diff([package("six", "1.0")], [package("six", "1.0.0")])


def test_names_are_one_however_they_are_written_and_shown_canonical() -> None:
    assert not diff([package("Rapid_Fuzz")], [package("rapid.fuzz")])
    assert diff([], [package("Rapid_Fuzz")]).installed == (Present(name="rapid-fuzz", version="1.0", requested=True),)
    assert diff([package("Rapid_Fuzz")], []).uninstalled[0].name == "rapid-fuzz"
    assert diff([package("Rapid_Fuzz", "1")], [package("rapid-fuzz", "2")]).upgraded[0].name == "rapid-fuzz"
    assert diff([package("A.B")], [package("a_b", origin=Origin.GIT)]).changed[0].name == "a-b"


def test_the_same_version_from_elsewhere_is_changed() -> None:
    old = package("numpy", "2.0")
    uv, sdist = Source(manager="uv", origin="index"), Source(manager="uv", origin="sdist")
    assert diff([old], [package("numpy", "2.0", origin=Origin.SDIST)]) == Diff(
        changed=(Changed(name="numpy", version="2.0", old=uv, new=sdist),)
    )
    conda = package("numpy", "2.0", manager=Manager.CONDA, origin=Origin.CONDA)
    assert diff([old], [conda]).changed[0].new == Source(manager="conda", origin="conda")


def test_another_version_from_elsewhere_is_an_upgrade_only() -> None:
    difference = diff([package("numpy", "1.0")], [package("numpy", "2.0", origin=Origin.GIT)])
    assert difference.changed == ()
    assert len(difference.upgraded) == 1


def test_being_asked_for_or_not_is_told_and_is_no_difference() -> None:
    assert not diff([package("six", requested=True)], [package("six", requested=False)])
    assert not diff([package("six", "1")], [package("six", "2", requested=False)]).upgraded[0].requested
    assert not diff([], [package("six", requested=False)]).installed[0].requested


@given(st.none() | st.sampled_from(PYTHONS), st.none() | st.sampled_from(PYTHONS))
def test_python_differs_where_both_are_known_and_not_the_same(old: str | None, new: str | None) -> None:
    difference = diff([], [], old_python=old, new_python=new)
    if old is None or new is None or old == new:
        assert difference == Diff()
    else:
        assert difference.python == PythonChange(old=old, new=new)
        assert difference
        assert difference.counts == f"Python {old} → {new}"


def test_counts_say_in_short_what_happened() -> None:
    old = [package("gone"), package("up", "1"), package("up-too", "1"), package("down", "2"), package("same")]
    new = [package("new"), package("newer"), package("up", "2"), package("up-too", "2"), package("down", "1")]
    new.append(package("same", origin=Origin.WHEEL))
    assert diff(old, new).counts == "+2 −1 ↑2 ↓1 ~1"
    assert diff(old, new, old_python="3.11", new_python="3.12").counts == "+2 −1 ↑2 ↓1 ~1 Python 3.11 → 3.12"
    assert diff([], new[:1]).counts == "+1"
