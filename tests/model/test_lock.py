"""The lock: pylock.toml and back, its content id, and the packages of a revision made of it."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import pytest
from factories import a_lock, few, locked, locks, many, package, sha
from hypothesis import assume, given
from hypothesis import strategies as st
from packaging.pylock import Pylock

from envpanel.errors import RecordDamaged
from envpanel.model.lock import Lock, LockedPackage, lock, packages_of
from envpanel.model.nouns import Manager, Origin

# pylock.toml


@many
@given(locks)
def test_a_lock_is_read_as_it_was_written(made: Lock) -> None:
    assert Lock.from_toml(made.to_toml()) == made


@many
@given(locks)
def test_a_lock_is_a_valid_pylock(made: Lock) -> None:
    """`packaging` reads the same packages, versions, files and digests."""
    read = Pylock.from_dict(tomllib.loads(made.to_toml()))
    read.validate()
    assert str(read.requires_python) == f"=={made.python}.*"
    assert [(str(entry.name), str(entry.version)) for entry in read.packages] == [
        (entry.name, entry.version) for entry in made.packages
    ]
    for entry, original in zip(read.packages, made.packages, strict=True):
        file = entry.wheels[0] if entry.wheels else entry.sdist
        assert file is not None
        assert bool(entry.wheels) is original.is_wheel
        assert file.name == original.file
        assert dict(file.hashes) == {"sha256": original.sha256}
        assert (file.url is None) is (file.path is not None)
        if original.kept:
            assert file.path == f"wheels/{original.file}"


def test_a_kept_wheel_stands_as_a_path_beside_the_lock() -> None:
    made = a_lock(locked("pyspark", url=None, origin=Origin.SDIST, kept=True, source_sha256=sha("sdist")))
    file = tomllib.loads(made.to_toml())["packages"][0]["wheels"][0]
    assert file["path"] == f"wheels/{made.packages[0].file}"
    assert "url" not in file
    assert Lock.from_toml(made.to_toml()) == made


def test_equal_locks_are_written_alike() -> None:
    one = lock([locked("b"), locked("a")], python="3.11", platform="linux-x86_64")
    other = lock([locked("a"), locked("b")], python="3.11", platform="linux-x86_64")
    assert one.to_toml() == other.to_toml()


def test_packages_are_sorted_by_name() -> None:
    made = a_lock(locked("six"), locked("numpy", "2.0"), locked("pandas"))
    assert [entry.name for entry in made.packages] == ["numpy", "pandas", "six"]
    assert made.versions == {"numpy": "2.0", "pandas": "1.0", "six": "1.0"}


WHOLE = a_lock(locked("numpy"), locked("six")).to_toml()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("not toml", id="no TOML"),
        pytest.param("", id="empty"),
        pytest.param("lock-version = '1.0'", id="a part"),
        pytest.param(WHOLE.replace('lock-version = "1.0"', 'lock-version = "9.0"'), id="another format"),
        pytest.param(WHOLE[: len(WHOLE) // 2], id="half"),
        pytest.param(WHOLE.replace("[tool.envpanel]", "[tool.other]"), id="of another tool"),
        pytest.param(WHOLE.replace('engine = "uv"', 'engine = "pip"'), id="of an engine that is unknown"),
        pytest.param(WHOLE.replace("sha256", "md5"), id="without the digests"),
        pytest.param(WHOLE.replace('version = "1.0"', 'version = "one"'), id="with a wrong version"),
        pytest.param(WHOLE.replace('name = "six"', 'name = "s i x"'), id="with a wrong name"),
    ],
)
def test_what_is_no_lock_is_damaged(text: str) -> None:
    assert text != WHOLE
    with pytest.raises(RecordDamaged):
        Lock.from_toml(text)


# The content id


@few
@given(locks, st.randoms(use_true_random=False), st.text(max_size=5))
def test_the_content_id_is_that_of_what_is_installed(made: Lock, random: Random, text: str) -> None:
    """Order, address, size, time and origin do not count: the same file is the same file."""
    packages = [
        replace(entry, url=f"https://mirror.example/{text}", size=7, uploaded=datetime(2020, 1, 1, tzinfo=UTC))
        for entry in made.packages
    ]
    random.shuffle(packages)
    assert replace(made, packages=tuple(packages)).content_id() == made.content_id()
    assert len(made.content_id()) == 64


@few
@given(locks, locks)
def test_another_content_has_another_id(one: Lock, other: Lock) -> None:
    def content(made: Lock) -> object:
        packages = {(entry.name, entry.version, entry.sha256) for entry in made.packages}
        return made.engine, made.python, made.platform, packages

    assert (one.content_id() == other.content_id()) is (content(one) == content(other))


def test_everything_that_makes_a_difference_makes_another_id() -> None:
    six, numpy = locked("six"), locked("numpy")
    made = a_lock(six, numpy)
    ids = [
        made.content_id(),
        a_lock(six).content_id(),
        a_lock().content_id(),
        a_lock(six, numpy, python="3.12").content_id(),
        a_lock(six, numpy, platform="macos-arm64").content_id(),
        a_lock(six, numpy, engine=Manager.CONDA).content_id(),
        a_lock(six, replace(numpy, sha256=sha("another file"))).content_id(),
        a_lock(six, replace(numpy, version="1.0.1")).content_id(),
        a_lock(six, replace(numpy, name="numpy2")).content_id(),
        made.content_id(commands=["a"]),
        made.content_id(commands=["a", "b"]),
        made.content_id(commands=["b", "a"]),
        made.content_id(salt="salt"),
        made.content_id(commands=["a"], salt="salt"),
    ]
    assert len(set(ids)) == len(ids)


def test_a_content_id_is_the_same_on_every_machine_and_for_ever() -> None:
    """It names directories and is kept in records, so it must not change with the code."""
    file = LockedPackage(name="six", version="1.17.0", file="six-1.17.0-py2.py3-none-any.whl", sha256="0" * 64)
    made = lock([file], python="3.11", platform="linux-x86_64")
    canonical = (
        '{"commands":[],"engine":"uv","packages":[["six","1.17.0","' + "0" * 64 + '"]],'
        '"platform":"linux-x86_64","python":"3.11","salt":null}'
    )
    assert made.content_id() == sha(canonical)


# The packages of a revision


def test_what_is_new_or_of_another_version_or_origin_is_since_this_revision() -> None:
    parent = packages_of(
        a_lock(locked("same"), locked("up"), locked("elsewhere"), locked("gone")), requested=frozenset(), number=3
    )
    assert {entry.since for entry in parent} == {3}
    now = a_lock(locked("same"), locked("up", "2.0"), locked("elsewhere", origin=Origin.WHEEL), locked("new"))
    packages = packages_of(now, requested=frozenset({"same"}), number=7, parent=parent)
    assert {entry.name: entry.since for entry in packages} == {"same": 3, "up": 7, "elsewhere": 7, "new": 7}


def test_since_stays_over_many_revisions_and_begins_anew_after_a_gap() -> None:
    with_it, without_it = a_lock(locked("six")), a_lock()
    first = packages_of(with_it, requested=frozenset(), number=1)
    second = packages_of(with_it, requested=frozenset(), number=2, parent=first)
    third = packages_of(without_it, requested=frozenset(), number=3, parent=second)
    fourth = packages_of(with_it, requested=frozenset(), number=4, parent=third)
    assert [entry.since for entry in (*first, *second, *fourth)] == [1, 1, 4]


def test_becoming_asked_for_does_not_change_since() -> None:
    first = packages_of(a_lock(locked("six")), requested=frozenset(), number=1)
    second = packages_of(a_lock(locked("six")), requested=frozenset({"six"}), number=2, parent=first)
    assert second == (package("six", requested=True, since=1),)


@few
@given(locks, st.data())
def test_packages_are_those_of_the_lock_and_requested_where_asked_for(made: Lock, data: st.DataObject) -> None:
    names = [entry.name for entry in made.packages]
    assume(names)
    asked = frozenset(data.draw(st.lists(st.sampled_from([*names, "absent"]))))
    packages = packages_of(made, requested=asked, number=5)
    assert [(entry.name, entry.version, entry.origin) for entry in packages] == [
        (entry.name, entry.version, entry.origin) for entry in made.packages
    ]
    assert {entry.manager for entry in packages} == {made.engine}
    assert {entry.name for entry in packages if entry.requested} == asked & set(names)
