"""Changes: intents, applied to what there is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from factories import definition, few, names, sentences
from hypothesis import given
from hypothesis import strategies as st

from envpanel.errors import EnvironmentArchived, InvalidRequirement, Refused
from envpanel.model import change as changes
from envpanel.model import requirements
from envpanel.model.change import (
    Archive,
    Change,
    Clone,
    Create,
    Describe,
    Install,
    Restore,
    Unarchive,
    Uninstall,
    Upgrade,
)
from envpanel.model.nouns import Definition, Group, Kind, RevisionRef

CLASSES = Change.__subclasses__()

_specs = st.builds("{}{}".format, names, st.sampled_from(["", ">=1", "<2", "==1.*"]))
definitions = st.builds(lambda specs: definition(*requirements.merge((), specs)), st.lists(_specs, max_size=5))
source = RevisionRef(name="python-feature-pipeline", revision=3)
one_of_each: list[Change] = [
    Create(
        kind=Kind.CUSTOM,
        group=Group.MODEL_TRAINING,
        description="d",
        python="3.12",
        requirements=("Pandas >= 2", "ipykernel"),
    ),
    Clone(source=source, description="mine"),
    Install(requirements=("six>=1",)),
    Uninstall(packages=("six",)),
    Upgrade(packages=("six",)),
    Restore(revision=2, requirements=("six",), python="3.12"),
    Describe(description="other"),
    Archive(),
    Unarchive(),
]


def test_each_kind_of_change_has_an_operation_of_its_own() -> None:
    assert {type(change) for change in one_of_each} == set(CLASSES)
    assert len({kind.operation for kind in CLASSES}) == len(CLASSES)
    assert {kind.operation: kind.__name__.lower() for kind in CLASSES} == {
        kind.operation: kind.operation for kind in CLASSES
    }


def test_only_what_undoes_nothing_of_a_colleague_follows_the_head() -> None:
    followers = {kind.operation for kind in CLASSES if kind.follows_head}
    assert followers == {"install", "uninstall", "describe", "archive", "unarchive"}


def test_only_what_needs_a_resolver_resolves() -> None:
    assert {kind.operation for kind in CLASSES if kind.resolves} == {"create", "install", "uninstall", "upgrade"}


@pytest.mark.parametrize("change", one_of_each, ids=lambda change: change.operation)
def test_arguments_are_json_values(change: Change) -> None:
    assert json.loads(json.dumps(change.arguments)) == change.arguments


def test_the_record_of_a_restore_names_the_number_only() -> None:
    assert Restore(revision=2, requirements=("six",), python="3.12").arguments == {"revision": 2}


# Laws


@few
@given(definitions, st.lists(_specs, min_size=1, max_size=4))
def test_installing_is_idempotent(start: Definition, specs: list[str]) -> None:
    install = Install(requirements=tuple(specs))
    once = install.apply(start)
    assert install.apply(once) == once


@few
@given(definitions, _specs)
def test_uninstalling_what_was_newly_installed_gives_the_old_requirements(start: Definition, spec: str) -> None:
    name = requirements.parse(spec).name
    start = Uninstall(packages=(name,)).apply(start)
    there = Install(requirements=(spec,)).apply(start)
    assert there != start
    assert Uninstall(packages=(name,)).apply(there) == start


@few
@given(definitions, _specs, _specs)
def test_the_order_of_independent_installs_does_not_matter(start: Definition, one: str, other: str) -> None:
    if requirements.parse(one).name == requirements.parse(other).name:
        other = f"other-{other}"
    first, second = Install(requirements=(one,)), Install(requirements=(other,))
    assert second.apply(first.apply(start)) == first.apply(second.apply(start))
    assert second.apply(first.apply(start)) == Install(requirements=(one, other)).apply(start)


@few
@given(definitions, _specs, st.lists(names, max_size=3))
def test_an_install_and_an_uninstall_of_others_do_not_touch_each_other(
    start: Definition, spec: str, dropped: list[str]
) -> None:
    packages = tuple(name for name in dropped if name != requirements.parse(spec).name)
    install, uninstall = Install(requirements=(spec,)), Uninstall(packages=packages)
    assert uninstall.apply(install.apply(start)) == install.apply(uninstall.apply(start))


@few
@given(definitions, st.lists(names, max_size=4))
def test_uninstalling_is_idempotent_and_leaves_none_of_the_names(start: Definition, dropped: list[str]) -> None:
    uninstall = Uninstall(packages=tuple(dropped))
    once = uninstall.apply(start)
    assert uninstall.apply(once) == once
    assert not requirements.requested_names(once.requirements) & set(dropped)


@few
@given(definitions, sentences)
def test_describe_archive_and_unarchive_keep_the_requirements(start: Definition, text: str) -> None:
    described = Describe(description=text).apply(start)
    assert described == replace(start, description=text)
    archived = Archive().apply(start)
    assert archived == replace(start, archived=True)
    assert Unarchive().apply(archived) == start


@few
@given(definitions)
def test_an_upgrade_keeps_what_was_decided(start: Definition) -> None:
    assert Upgrade().apply(start) == Upgrade(packages=("six",)).apply(start) == start


@few
@given(definitions)
def test_a_restore_takes_requirements_and_python_of_the_revision_and_nothing_else(start: Definition) -> None:
    restored = Restore(revision=1, requirements=("numpy", "six"), python="3.13").apply(start)
    assert restored == replace(start, requirements=("numpy", "six"), python="3.13")


def test_an_install_replaces_the_requirement_of_the_same_name_and_marker() -> None:
    start = definition("numpy<2", "pandas")
    assert Install(requirements=("NumPy >= 2",)).apply(start).requirements == ("numpy>=2", "pandas")
    markers = Install(requirements=("numpy>=2; python_version >= '3.12'",)).apply(start)
    assert markers.requirements == ("numpy<2", 'numpy>=2; python_version >= "3.12"', "pandas")


def test_an_uninstall_drops_every_marker_of_a_name() -> None:
    start = definition("numpy<2", 'numpy>=2; python_version >= "3.12"', "pandas")
    assert Uninstall(packages=("NumPy",)).apply(start).requirements == ("pandas",)


def test_what_cannot_be_meant_is_refused() -> None:
    for spec in ("-r x", "six\n--pre", "six @ https://example.org/six.whl", ""):
        with pytest.raises(InvalidRequirement):
            Install(requirements=("numpy", spec)).apply(definition("pandas"))


# As typed


def test_what_was_typed_is_made_normal() -> None:
    assert Install.of("Rapid_Fuzz >= 3", "six") == Install(requirements=("rapid-fuzz>=3", "six"))
    assert Uninstall.of("Rapid_Fuzz", "six", "SIX") == Uninstall(packages=("rapid-fuzz", "six"))
    assert Upgrade.of("Rapid_Fuzz") == Upgrade(packages=("rapid-fuzz",))
    assert Upgrade.of() == Upgrade()


@few
@given(definitions, st.lists(_specs, max_size=3))
def test_a_change_of_normal_lines_is_the_change_of_what_was_typed(start: Definition, specs: list[str]) -> None:
    typed = [f" {spec.upper()} " for spec in specs]
    assert Install.of(*typed).apply(start) == Install(requirements=tuple(specs)).apply(start)


@pytest.mark.parametrize("spec", ["", "-r x", "./six", "six numpy", "six @ https://example.org/x", "git+https://a/b"])
def test_what_was_typed_wrong_is_refused_by_each(spec: str) -> None:
    for kind in (Install, Uninstall, Upgrade):
        with pytest.raises(InvalidRequirement):
            kind.of("numpy", spec)


def test_only_an_install_takes_more_than_names() -> None:
    for kind in (Uninstall, Upgrade):
        with pytest.raises(InvalidRequirement, match="more than a name"):
            kind.of("numpy>=2")


# Beginnings


def test_create_starts_from_nothing_with_normal_requirements() -> None:
    create = Create(
        kind=Kind.BASE,
        group=Group.MODEL_INFERENCE,
        description="small",
        python="3.12",
        requirements=("Pandas >= 2", "ipykernel", "pandas<3"),
    )
    assert create.apply() == Definition(
        kind=Kind.BASE,
        group=Group.MODEL_INFERENCE,
        description="small",
        python="3.12",
        requirements=("ipykernel", "pandas<3"),
    )
    assert create.apply(definition("other", archived=True)) == create.apply()


def test_a_clone_is_custom_alive_and_has_all_else_of_its_source() -> None:
    base = definition("numpy", "pandas", kind=Kind.BASE, description="of the base", archived=True)
    cloned = Clone(source=source).apply(base)
    assert cloned == replace(base, kind=Kind.CUSTOM, archived=False)
    assert Clone(source=source, description="").apply(base).description == ""
    assert Clone(source=source, description="mine").apply(base).description == "mine"


# Archived


@pytest.mark.parametrize(
    "change",
    [change for change in one_of_each if change.operation not in ("create", "clone", "unarchive")],
    ids=lambda change: change.operation,
)
def test_an_archived_environment_takes_no_change(change: Change) -> None:
    with pytest.raises(EnvironmentArchived, match="deleted") as caught:
        change.apply(definition("six", archived=True))
    assert "unarchive" in (caught.value.hint or "")


def test_an_archived_environment_can_be_taken_back_and_only_then() -> None:
    assert Unarchive().apply(definition("six", archived=True)) == definition("six")
    with pytest.raises(Refused, match="not deleted"):
        Unarchive().apply(definition("six"))


# Names


def test_names_are_canonical_without_doubles_and_in_order() -> None:
    assert changes.names(("Rapid_Fuzz", "six", "rapid.fuzz", "a")) == ("rapid-fuzz", "six", "a")
    assert changes.names(()) == ()


@pytest.mark.parametrize("spec", ["six>=1", "six[x]", "six; python_version > '3'", "six==1.0"])
def test_names_refuses_what_is_more_than_a_name_and_says_which(spec: str) -> None:
    with pytest.raises(InvalidRequirement, match="more than a name") as caught:
        changes.names(("numpy", spec))
    assert "'six'" in (caught.value.hint or "")


@pytest.mark.parametrize("spec", ["", "-r x", "./six", "six numpy", "six @ https://example.org/x"])
def test_names_refuses_what_is_no_package(spec: str) -> None:
    with pytest.raises(InvalidRequirement):
        changes.names((spec,))
