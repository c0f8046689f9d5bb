"""Values for tests: functions with sensible defaults, and hypothesis strategies of the same."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from packaging.version import InvalidVersion, Version

from envpanel.history.ledger import Ledger
from envpanel.model import wire
from envpanel.model.diff import Changed, Diff, Moved, Present, PythonChange, Source, diff
from envpanel.model.lock import Lock, LockedPackage, lock
from envpanel.model.nouns import (
    PYTHONS,
    Author,
    Definition,
    Digests,
    Group,
    Kind,
    Manager,
    Origin,
    Package,
    Record,
    RevisionRef,
    Via,
)

# On two busy cores a single example may take long; the number of examples is what counts.
few = settings(max_examples=30, deadline=None)
many = settings(max_examples=100, deadline=None)

_ids = itertools.count(1)


def sha(text: str) -> str:
    """A digest that stands for this text."""
    return wire.sha256(text.encode())


def package(name: str, version: str = "1.0", **other: Any) -> Package:
    """A package of a revision, asked for unless told otherwise."""
    return Package(**{"name": name, "version": version, "requested": True, **other})


def locked(name: str, version: str = "1.0", **other: Any) -> LockedPackage:
    """A package of a lock: a wheel for every platform, on an index."""
    file = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    values = {"file": file, "sha256": sha(file), "url": f"https://files.example/{file}", "size": 1000}
    return LockedPackage(**{"name": name, "version": version, **values, **other})


def a_lock(*packages: LockedPackage, python: str = "3.11", platform: str = "linux-x86_64", **other: Any) -> Lock:
    """A lock of these packages."""
    return lock(packages, python=python, platform=platform, **other)


def definition(*requirements: str, **other: Any) -> Definition:
    """What was decided about a custom environment: these requirements, as they stand."""
    values = {"kind": Kind.CUSTOM, "group": Group.FEATURE_ENGINEERING, "description": "churn", "python": "3.11"}
    return Definition(**{**values, "requirements": requirements, **other})


def record(number: int = 1, *, previous: Record | None = None, **other: Any) -> Record:
    """A record with an id of its own, not sealed; on top of `previous`, where that is given, and like it."""
    if previous is not None:
        number = previous.number + 1
    before = previous.packages if previous is not None else ()
    packages = other.pop("packages", (*before, package(f"package-{number}", since=number)))
    values: dict[str, Any] = {
        "id": f"id-{next(_ids)}",
        "number": number,
        "parent": number - 1 or None,
        "environment": previous.environment if previous is not None else "churn",
        "kind": Kind.CUSTOM,
        "group": Group.FEATURE_ENGINEERING,
        "description": "churn, team A",
        "author": Author(username="ana", name="Ana", verified=True),
        "via": Via.CLI,
        "created": f"2026-11-20T10:00:{number % 60:02}.000Z",
        "operation": "install",
        "message": f"change {number}",
        "python": "3.11",
        "platform": "linux-x86_64",
        "requirements": tuple(sorted(entry.name for entry in packages)),
        "packages": packages,
        "diff": diff(before, packages),
        "digests": Digests(lock=sha("lock"), yaml=sha("yaml")),
        "content_id": sha(f"content {number}"),
        "duration": 1.5,
        "previous": previous.digest if previous is not None else None,
    }
    return Record(**{**values, **other})


def with_blobs(ledger: Ledger, draft: dict[str, Any] | None = None) -> Digests:
    """Keeps a lock, a YAML and a log; each pair of arguments gives files of its own."""
    mark = repr(draft).encode()
    return Digests(
        lock=ledger.put_blob(b"lock " + mark),
        yaml=ledger.put_blob(b"yaml " + mark),
        log=ledger.put_blob(b"log " + mark),
    )


def commit(ledger: Ledger, previous: Record | None = None, **other: Any) -> Record:
    """A record on top of `previous`, committed, with blobs of its own."""
    number = previous.number + 1 if previous is not None else 1
    mark = {"number": number, "environment": other.get("environment"), "message": other.get("message")}
    return ledger.commit(record(previous=previous, **{"digests": with_blobs(ledger, mark), **other}))


def history(ledger: Ledger, count: int, **other: Any) -> list[Record]:
    """A chain of so many committed records, oldest first."""
    records: list[Record] = []
    for _ in range(count):
        records.append(commit(ledger, records[-1] if records else None, **other))
    return records


# Strategies


def is_pep440(text: str) -> bool:
    """Whether `packaging` reads it as a version."""
    try:
        Version(text)
    except (InvalidVersion, ValueError):
        return False
    return True


def _pep440(epoch: int, release: list[int], pre: str, post: int | None, dev: int | None, local: str) -> str:
    text = (f"{epoch}!" if epoch else "") + ".".join(map(str, release)) + pre
    text += "" if post is None else f".post{post}"
    text += "" if dev is None else f".dev{dev}"
    return text + (f"+{local}" if local else "")


_small = st.integers(0, 12)
pep440_versions = st.builds(
    _pep440,
    epoch=st.sampled_from([0, 0, 0, 1]),
    release=st.lists(_small, min_size=1, max_size=4),
    pre=st.one_of(st.just(""), st.builds("{}{}".format, st.sampled_from(["a", "b", "rc"]), _small)),
    post=st.none() | _small,
    dev=st.none() | _small,
    local=st.sampled_from(["", "", "", "cpu", "cu121", "1", "ubuntu.1"]),
)
"""Versions as packages of Python have them, in their normal form."""

other_versions = (
    st.lists(
        st.sampled_from(["0", "0", "1", "2", "9", "10", "a", "e", "k", "zd", "x", "rc", ".", ".", "_", "-"]), min_size=2
    )
    .map(lambda parts: "1" + "".join(parts[:8]))
    .filter(lambda text: not is_pep440(text))
)
"""Versions that only conda knows: 9e, 1.1.1k, 2_3_x."""

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True).filter(lambda name: "--" not in name)
"""Names of packages, canonical as PEP 503 says."""

environment_names = st.from_regex(r"[a-z][a-z0-9_-]{0,63}", fullmatch=True)

sentences = st.text(max_size=40)
_digests = st.binary(min_size=1, max_size=4).map(wire.sha256)
_instants = st.datetimes(min_value=datetime(2005, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))
_refs = st.builds(RevisionRef, name=environment_names, revision=st.integers(1, 10**6))

packages = st.builds(
    Package,
    # Few names and versions come again and again, so that two sets have something in common.
    name=st.sampled_from(["numpy", "pandas", "polars", "six", "rapidfuzz", "pyarrow", "duckdb", "idna"]) | names,
    version=st.sampled_from(["1.0", "1.0.0", "1.9", "1.10"]) | pep440_versions,
    manager=st.sampled_from(Manager),
    origin=st.sampled_from(Origin),
    requested=st.booleans(),
    since=st.integers(1, 1000),
)

package_sets = st.lists(packages, max_size=8, unique_by=lambda entry: entry.name).map(tuple)


@st.composite
def locked_packages(draw: st.DrawFn) -> LockedPackage:
    """A wheel or a source distribution of an index, one without a known address, or a kept wheel."""
    name, version = draw(names), draw(pep440_versions)
    stem = f"{name.replace('-', '_')}-{version}"
    kind = draw(st.sampled_from(["index", "bundled", "sdist", "kept"]))
    file = f"{stem}.tar.gz" if kind == "sdist" else f"{stem}-py3-none-any.whl"
    other: dict[str, Any] = {}
    if kind in ("index", "sdist"):
        other["url"] = f"https://files.example/{draw(names)}/{file}"
        other["uploaded"] = draw(st.none() | _instants)
    if kind == "kept":
        other["kept"] = True
        other["origin"] = draw(st.sampled_from([Origin.SDIST, Origin.GIT, Origin.URL]))
        other["source_sha256"] = draw(st.none() | _digests)
    size = draw(st.none() | st.integers(0, 2**40))
    return LockedPackage(name=name, version=version, file=file, sha256=draw(_digests), size=size, **other)


locks = st.builds(
    lock,
    st.lists(locked_packages(), max_size=6, unique_by=lambda entry: entry.name),
    python=st.sampled_from(PYTHONS),
    platform=st.sampled_from(["linux-x86_64", "linux-musl-x86_64", "macos-arm64"]),
    engine=st.sampled_from(Manager),
)

_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | sentences,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(sentences, inner, max_size=3),
    max_leaves=6,
)


def _tuples(entries: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(entries, max_size=3).map(tuple)


_sources = st.builds(Source, manager=st.sampled_from(Manager).map(str), origin=st.sampled_from(Origin).map(str))
diffs = st.builds(
    Diff,
    installed=_tuples(st.builds(Present, name=names, version=pep440_versions, requested=st.booleans())),
    uninstalled=_tuples(st.builds(Present, name=names, version=pep440_versions, requested=st.booleans())),
    upgraded=_tuples(st.builds(Moved, name=names, old=pep440_versions, new=pep440_versions, requested=st.booleans())),
    downgraded=_tuples(st.builds(Moved, name=names, old=pep440_versions, new=pep440_versions, requested=st.booleans())),
    changed=_tuples(st.builds(Changed, name=names, version=pep440_versions, old=_sources, new=_sources)),
    python=st.none() | st.builds(PythonChange, old=st.sampled_from(PYTHONS), new=st.sampled_from(PYTHONS)),
)

records = st.builds(
    Record,
    id=sentences,
    number=st.integers(1, 99_999_999),
    parent=st.none() | st.integers(1, 99_999_999),
    environment=environment_names,
    kind=st.sampled_from(Kind),
    group=st.sampled_from(Group),
    description=sentences,
    archived=st.booleans(),
    base=st.none() | _refs,
    cloned_from=st.none() | _refs,
    restored_from=st.none() | _refs,
    author=st.builds(Author, username=sentences, name=sentences, verified=st.booleans()),
    via=st.sampled_from(Via),
    created=sentences,
    operation=st.sampled_from(["create", "clone", "install", "restore"]),
    arguments=st.dictionaries(sentences, _json, max_size=3),
    message=sentences,
    python=st.sampled_from(PYTHONS),
    platform=sentences,
    requirements=_tuples(names),
    packages=package_sets,
    diff=diffs,
    digests=st.builds(Digests, lock=_digests, yaml=_digests, log=st.none() | _digests, commands=st.none() | _digests),
    content_id=_digests,
    salt=st.none() | _digests,
    duration=st.floats(0, 1e6),
    format=st.just(1),
    previous=st.none() | _digests,
    digest=st.just(""),
)
"""Records as they are before they are sealed."""
