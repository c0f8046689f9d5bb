"""The rules of an engine, which uv and the fake one of the tests both keep."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest
from fake_engine import Catalogue, FakeEngine, locked
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from uv import find_uv_bin
from wheelhouse import Distribution, Wheelhouse

from envpanel.engines.interface import Engine, Request, Resolution
from envpanel.engines.interpreters import Interpreter, Interpreters
from envpanel.engines.uv import UvEngine
from envpanel.errors import Unsatisfiable
from envpanel.model.lock import Lock
from envpanel.model.nouns import Progress
from envpanel.model.target import default_python, this_platform
from envpanel.settings import Settings

CATALOGUE: Catalogue = {
    "alpha": {"1.0": [], "1.9": [], "1.10": [], "2.0": ["beta>=2"], "2.1b1": []},
    "beta": {"1.0": [], "2.0": []},
    "gamma": {"1.0": ["beta<2", "alpha"]},
    "onlypre": {"1.0a1": []},
    "marked": {"1.0": ["alpha; python_version >= '3.8'", "beta; sys_platform == 'win32'"]},
    "Dashed_Name": {"1.0": ["lib.a"]},
    "lib-a": {"1.0": [], "2.0": []},
    "lib-b": {"1.0": [], "2.0": []},
    "picky": {"1.0": ["lib-a"], "2.0": ["lib-a<2"]},
    "needs-absent": {"1.0": ["absent"]},
    "circle-a": {"1.0": ["circle-b"]},
    "circle-b": {"1.0": ["circle-a"]},
}
PYTHON = default_python()


def here() -> Interpreter:
    return asyncio.run(Interpreters(find_uv_bin(), os.environ).find(PYTHON))


def house_of(catalogue: Catalogue, root: Path) -> Wheelhouse:
    house = Wheelhouse(root)
    for name, versions in catalogue.items():
        house.add(*(Distribution(name=name, version=v, requires=tuple(r)) for v, r in versions.items()))
    return house.write()


@pytest.fixture(params=["fake", "uv"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    if request.param == "fake":
        return FakeEngine(CATALOGUE)
    environ = {"HOME": str(tmp_path), "UV_DEFAULT_INDEX": house_of(CATALOGUE, tmp_path / "house").url}
    return UvEngine(uv=find_uv_bin(), cache=tmp_path / "cache", environ=environ, settings=Settings())


def resolve(
    engine: Engine, *lines: str, preferred: Lock | None = None, upgrade: Iterable[str] | None = ()
) -> Resolution:
    wanted = Request(
        requirements=lines,
        python=PYTHON,
        preferred=preferred,
        upgrade=None if upgrade is None else frozenset(upgrade),
    )
    return asyncio.run(engine.resolve(wanted, here(), report=lambda _: None, log=lambda _: None))


def versions(engine: Engine, *lines: str, **more: Lock | Iterable[str] | None) -> dict[str, str]:
    return resolve(engine, *lines, **more).lock.versions  # type: ignore[arg-type]


def needs(engine: Engine, *lines: str) -> Mapping[str, tuple[str, ...]]:
    lock = resolve(engine, *lines).lock
    return asyncio.run(engine.needed_by(lock, Request(requirements=lines, python=PYTHON), here()))


def build(engine: Engine, lock: Lock, directory: Path) -> list[Progress]:
    seen: list[Progress] = []
    wheels = directory.with_name("wheels")
    call = engine.build(lock, directory, here(), wheels=wheels, pass_fds=(), report=seen.append, log=lambda _: None)
    asyncio.run(call)
    return seen


def installed(directory: Path) -> list[tuple[str, str]]:
    names = [path.name.removesuffix(".dist-info") for path in directory.glob("lib/python3.*/site-packages/*.dist-info")]
    return sorted((canonicalize_name(name.rpartition("-")[0]), name.rpartition("-")[2]) for name in names)


# Resolving


def test_it_takes_the_newest_by_the_order_of_versions_not_of_letters(engine: Engine) -> None:
    assert versions(engine, "alpha<2") == {"alpha": "1.10"}


def test_it_takes_what_packages_need_and_nothing_else(engine: Engine) -> None:
    assert versions(engine, "alpha") == {"alpha": "2.0", "beta": "2.0"}
    assert versions(engine, "picky") == {"picky": "2.0", "lib-a": "1.0"}


def test_names_are_canonical_however_they_are_written(engine: Engine) -> None:
    assert versions(engine, "Dashed.name") == {"dashed-name": "1.0", "lib-a": "2.0"}


def test_markers_decide_what_is_needed(engine: Engine) -> None:
    assert versions(engine, "marked", "alpha<2", "lib-b; sys_platform == 'win32'") == {"marked": "1.0", "alpha": "1.10"}


def test_packages_that_need_each_other_are_both_taken(engine: Engine) -> None:
    assert versions(engine, "circle-b") == {"circle-a": "1.0", "circle-b": "1.0"}


def test_of_versions_in_conflict_older_ones_are_taken(engine: Engine) -> None:
    assert versions(engine, "gamma", "alpha<2.1b0") == {"gamma": "1.0", "alpha": "1.10", "beta": "1.0"}


def test_a_pre_release_is_taken_only_where_there_is_no_other_and_said(engine: Engine) -> None:
    assert versions(engine, "alpha") == {"alpha": "2.0", "beta": "2.0"}
    taken = resolve(engine, "onlypre")
    assert taken.lock.versions == {"onlypre": "1.0a1"}
    assert [(warning.code, warning.package) for warning in taken.warnings] == [("pre-release", "onlypre")]
    assert resolve(engine, "onlypre", preferred=taken.lock).warnings == ()


def test_a_pre_release_that_was_asked_for_is_no_surprise(engine: Engine) -> None:
    taken = resolve(engine, "alpha>=2.1b1")
    assert taken.lock.versions == {"alpha": "2.1b1"}
    assert taken.warnings == ()


def test_nothing_is_needed_for_no_requirements(engine: Engine) -> None:
    assert versions(engine) == {}


def test_the_lock_is_for_this_platform_and_the_python_asked_for(engine: Engine) -> None:
    lock = resolve(engine, "alpha").lock
    assert (lock.python, lock.platform) == (PYTHON, this_platform())


def test_the_same_requirements_give_the_same_lock_in_any_order(engine: Engine) -> None:
    first, second = resolve(engine, "alpha", "lib-b").lock, resolve(engine, "lib-b", "alpha").lock
    assert first == second
    assert first.content_id() == second.content_id()


def test_every_package_has_a_sha256_and_another_version_another_one(engine: Engine) -> None:
    old, new = (resolve(engine, line).lock.packages[0] for line in ("lib-a<2", "lib-a"))
    assert {len(old.sha256), len(new.sha256)} == {64}
    assert old.sha256 != new.sha256


def test_it_says_that_it_resolves(engine: Engine) -> None:
    seen: list[Progress] = []
    wanted = Request(requirements=("lib-a",), python=PYTHON)
    asyncio.run(engine.resolve(wanted, here(), report=seen.append, log=lambda _: None))
    assert seen[0].phase == "resolving"


# Preferences and upgrades


def test_preferred_pins_stay_where_the_requirements_allow_it(engine: Engine) -> None:
    old = resolve(engine, "lib-a<2", "alpha<1.9").lock
    assert versions(engine, "lib-a", "alpha", "lib-b", preferred=old) == {
        "lib-a": "1.0",
        "alpha": "1.0",
        "lib-b": "2.0",
    }


def test_a_preferred_pin_gives_way_to_a_requirement(engine: Engine) -> None:
    old = resolve(engine, "lib-a<2").lock
    assert versions(engine, "lib-a>=2", preferred=old) == {"lib-a": "2.0"}


def test_a_preferred_package_that_nothing_needs_goes(engine: Engine) -> None:
    old = resolve(engine, "alpha", "lib-a").lock
    assert versions(engine, "lib-a", preferred=old) == {"lib-a": "2.0"}


def test_a_preferred_package_is_the_very_one_of_the_lock(engine: Engine) -> None:
    old = resolve(engine, "lib-a<2", "lib-b").lock
    assert resolve(engine, "lib-a", "lib-b", preferred=old).lock == old


def test_upgrade_of_one_name_leaves_the_others(engine: Engine) -> None:
    old = resolve(engine, "lib-a<2", "lib-b<2").lock
    moved = versions(engine, "lib-a", "lib-b", preferred=old, upgrade={"lib-a"})
    assert moved == {"lib-a": "2.0", "lib-b": "1.0"}


def test_upgrade_stays_within_the_requirements(engine: Engine) -> None:
    old = resolve(engine, "alpha==1.0", "lib-b<2").lock
    moved = versions(engine, "alpha<2", "lib-b<2", preferred=old, upgrade={"alpha", "lib-b"})
    assert moved == {"alpha": "1.10", "lib-b": "1.0"}


def test_upgrade_of_all_names_moves_every_package(engine: Engine) -> None:
    old = resolve(engine, "lib-a<2", "lib-b<2").lock
    assert versions(engine, "lib-a", "lib-b", preferred=old, upgrade=None) == {"lib-a": "2.0", "lib-b": "2.0"}


# What cannot be


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        (["nosuch"], ["nosuch"]),
        (["alpha==9.9"], ["alpha"]),
        (["alpha==2.0", "gamma"], ["alpha", "gamma", "beta"]),
        (["lib-a<2", "lib-a>=2"], ["lib-a"]),
        (["needs-absent"], ["needs-absent", "absent"]),
    ],
    ids=["unknown", "no such version", "conflict", "contradiction", "needs unknown"],
)
def test_what_cannot_be_met_is_unsatisfiable_and_the_sentence_names_the_packages(
    engine: Engine, lines: Sequence[str], names: Sequence[str]
) -> None:
    with pytest.raises(Unsatisfiable) as raised:
        resolve(engine, *lines)
    assert all(name in raised.value.message for name in names)
    assert raised.value.message.endswith(".")
    assert "\n" not in raised.value.message


def test_a_preferred_pin_never_makes_something_unsatisfiable(engine: Engine) -> None:
    old = resolve(engine, "lib-a").lock
    assert versions(engine, "lib-a", "picky==2.0", preferred=old) == {"lib-a": "1.0", "picky": "2.0"}


# Who needs whom


def test_needed_by_names_who_needs_a_package(engine: Engine) -> None:
    found = needs(engine, "gamma", "alpha<2", "picky", "dashed-name")
    assert found["beta"] == ("gamma",)
    assert found["alpha"] == ("gamma",)
    assert found["lib-a"] == ("dashed-name", "picky")


def test_needed_by_leaves_out_what_no_other_package_needs(engine: Engine) -> None:
    assert needs(engine, "alpha", "lib-b") == {"beta": ("alpha",)}


# Building


def test_a_build_holds_exactly_what_the_lock_says(engine: Engine, tmp_path: Path) -> None:
    lock = resolve(engine, "alpha", "dashed-name", "marked").lock
    build(engine, lock, tmp_path / "prefix")
    assert installed(tmp_path / "prefix") == sorted(lock.versions.items())


def test_an_older_lock_still_builds_as_it_was(engine: Engine, tmp_path: Path) -> None:
    lock = resolve(engine, "alpha==1.9").lock
    resolve(engine, "alpha")
    build(engine, lock, tmp_path / "prefix")
    assert installed(tmp_path / "prefix") == [("alpha", "1.9")]


def test_its_python_is_a_link_to_the_interpreter(engine: Engine, tmp_path: Path) -> None:
    build(engine, resolve(engine, "lib-a").lock, tmp_path / "prefix")
    python = tmp_path / "prefix" / "bin" / "python"
    assert python.is_symlink()
    assert Path(os.path.realpath(python)) == here().path


def test_its_python_runs_and_imports_the_packages(engine: Engine, tmp_path: Path) -> None:
    build(engine, resolve(engine, "alpha", "Dashed_Name").lock, tmp_path / "prefix")
    code = "import sys, alpha, dashed_name; print(alpha.__version__, sys.prefix, sys.prefix != sys.base_prefix)"
    python = tmp_path / "prefix" / "bin" / "python"
    assert subprocess.check_output([python, "-c", code], text=True).split() == ["2.0", str(tmp_path / "prefix"), "True"]


def test_a_lock_of_nothing_builds_an_environment_without_packages(engine: Engine, tmp_path: Path) -> None:
    build(engine, resolve(engine).lock, tmp_path / "prefix")
    assert installed(tmp_path / "prefix") == []
    code = "import sys; print(sys.prefix)"
    python = tmp_path / "prefix" / "bin" / "python"
    assert subprocess.check_output([python, "-c", code], text=True).strip() == str(tmp_path / "prefix")


def test_two_builds_of_a_lock_hold_the_same_files(engine: Engine, tmp_path: Path) -> None:
    lock = resolve(engine, "alpha").lock
    contents = []
    for name in ("one", "two"):
        build(engine, lock, tmp_path / name)
        site = next((tmp_path / name).glob("lib/python3.*/site-packages"))
        files = [path for path in site.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        contents.append({str(path.relative_to(site)): path.read_bytes() for path in files})
    assert contents[0] == contents[1]


def test_installing_is_counted_up_to_all_packages(engine: Engine, tmp_path: Path) -> None:
    lock = resolve(engine, "alpha", "lib-a").lock
    seen = [step for step in build(engine, lock, tmp_path / "prefix") if step.phase == "installing"]
    assert (seen[0].done, seen[0].total) == (0, 3)
    assert [step.done for step in seen] == sorted(step.done for step in seen)
    assert (seen[-1].done, seen[-1].total, seen[-1].unit) == (3, 3, "packages")


def test_each_line_of_a_build_reaches_the_log(engine: Engine, tmp_path: Path) -> None:
    lines: list[str] = []
    lock = resolve(engine, "lib-a").lock
    call = engine.build(
        lock, tmp_path / "prefix", here(), wheels=tmp_path, pass_fds=(), report=lambda _: None, log=lines.append
    )
    asyncio.run(call)
    assert " + lib-a==2.0" in lines


# Laws of the fake one, whose answers other tests trust

NAMES = ("a", "b", "c", "d")
numbers = st.sampled_from(["1.0", "2.0", "2.1b1", "10.0"])
lines = st.builds(
    "{}{}".format, st.sampled_from(NAMES), st.sampled_from(["", ">=2", "<2", "==1.0", "!=2.0", ">2,<11", "==10.0"])
)
catalogues = st.dictionaries(
    st.sampled_from(NAMES), st.dictionaries(numbers, st.lists(lines, max_size=2), min_size=1, max_size=3), min_size=1
)


def meets(versions: Mapping[str, str], lines: Iterable[str]) -> bool:
    asked = map(Requirement, lines)
    return all(item.name in versions and item.specifier.contains(versions[item.name], True) for item in asked)


def combinations(catalogue: Catalogue, names: Sequence[str]) -> Iterable[dict[str, str]]:
    if not names:
        yield {}
        return
    for rest in combinations(catalogue, names[1:]):
        yield rest
        yield from ({**rest, names[0]: version} for version in catalogue[names[0]])


def is_closed(catalogue: Catalogue, versions: Mapping[str, str]) -> bool:
    return all(meets(versions, catalogue[name][version]) for name, version in versions.items())


@given(catalogue=catalogues, asked=st.lists(lines, min_size=1, max_size=3))
@settings(max_examples=300, deadline=None)
def test_the_fake_one_finds_a_set_that_meets_everything_exactly_where_there_is_one(
    catalogue: Catalogue, asked: list[str]
) -> None:
    possible = [c for c in combinations(catalogue, list(catalogue)) if meets(c, asked) and is_closed(catalogue, c)]
    try:
        found = versions(FakeEngine(catalogue), *asked)
    except Unsatisfiable:
        assert not possible
    else:
        assert found in possible
        smaller = [{k: v for k, v in found.items() if k != name} for name in found]
        assert not any(meets(some, asked) and is_closed(catalogue, some) for some in smaller)


@given(catalogue=catalogues, asked=st.lists(lines, min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_the_fake_one_keeps_its_own_answer_where_it_is_preferred(catalogue: Catalogue, asked: list[str]) -> None:
    engine = FakeEngine(catalogue)
    try:
        first = resolve(engine, *asked).lock
    except Unsatisfiable:
        return
    assert resolve(engine, *asked, preferred=first).lock == first


@given(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["1.0", "2.0", "10.0"]), min_size=1))
@settings(max_examples=20, deadline=None)
def test_the_fake_one_takes_the_newest_of_packages_that_need_nothing(newest: dict[str, str]) -> None:
    catalogue: Catalogue = {
        name: {v: [] for v in ("1.0", "2.0", "10.0") if Version(v) <= Version(top)} for name, top in newest.items()
    }
    assert versions(FakeEngine(catalogue), *newest) == newest


def test_the_fake_one_fails_as_told_and_remembers_its_calls() -> None:
    engine = FakeEngine(CATALOGUE, fail_build="No room.")
    lock = resolve(engine, "alpha").lock
    with tempfile.TemporaryDirectory() as folder, pytest.raises(Exception, match="No room"):
        build(engine, lock, Path(folder) / "prefix")
    assert [(call.verb, call.of) for call in engine.calls] == [
        ("resolve", ("alpha",)),
        ("build", ("alpha==2.0", "beta==2.0")),
    ]
    assert locked("alpha", "2.0") in lock.packages
