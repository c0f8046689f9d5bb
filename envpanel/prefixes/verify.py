"""Verify: whether a finished prefix still holds what was installed; runs nothing of it and writes nothing.

When a prefix is published, a manifest of every file, link and folder in it is written beside it, and READY holds the
manifest's sha256. `check` reads every file and compares, so a single other bit anywhere is found.

To read 1.3 GB in 35,000 files again takes 4 to 6 s on two cores, too much for the end of every build. So `manifest`
takes the hash of a file from the RECORD of its distribution where there is one, that of bytecode which is the parent's
from the parent's manifest, and reads only what nobody vouches for: scripts for shells, `pyvenv.cfg`, new bytecode, the
RECORDs. It is stricter, too: the installer does not compare files with their RECORD, so one that was wrong at build
time already (its other name, in the installer's cache, was written to) shows at `check`.

A prefix of an older envpanel has no manifest: then the RECORDs are all there is to compare with.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
import urllib.parse
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from packaging.version import InvalidVersion, Version

from envpanel.prefixes.distributions import (
    SITE,
    Distribution,
    Owners,
    is_info,
    name_and_version,
    open_file,
    read_all,
    read_file,
)
from envpanel.prefixes.tree import Entry, Tree

What = Literal["missing", "changed", "extra", "writable", "interpreter", "package"]

# Larger ones are hashed piece by piece; below, one read is several times faster.
_AT_ONCE = 1 << 18
_MANIFEST_LIMIT = 512 << 20
_THREADS = 4


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What is wrong with one file of a prefix, or with a package.

    `path` is relative to the prefix and made for reading: what cannot be printed stands as an escape. Of a folder
    that is missing or extra, what was or is in it is not listed. `package` is the canonical name of the distribution
    it belongs to, where that is known. `message` is a sentence.
    """

    path: str
    what: What
    package: str | None
    message: str


def manifest_path(prefix: Path) -> Path:
    """Where the manifest of a prefix is: beside it."""
    return prefix.with_name(f"{prefix.name}.manifest.json")


def manifest(tree: Tree, distributions: Iterable[Distribution] | None = None) -> bytes:
    """Every file, link and folder of a prefix as JSON: path -> [mode, kind, size, sha256 or where a link points to].

    The sha256 is the one that a file ought to have: see above. The same tree gives the same bytes. `distributions` are
    those of the tree, where they have been read.

    Raises:
        OSError: something in it could not be read.
    """
    found = list(distributions) if distributions is not None else read_all(tree)
    owners = Owners(found)
    records = {distribution.record: distribution.digest for distribution in found}
    content = {}
    for path, entry in tree.entries.items():
        digest = entry.content
        if entry.kind == "file":
            digest = digest or records.get(path) or _ought(tree, path, entry, owners)
        elif digest is not None:
            digest = _stored(digest)
        content[_stored(path)] = (entry.mode, entry.kind, entry.size, digest)
    return msgspec.json.encode(content, order="sorted") + b"\n"


def listed(prefix: Path, digest: str) -> dict[str, Entry] | None:
    """What the manifest of a prefix lists, whose sha256 is `Prefix.manifest`; None where there is none to trust."""
    try:
        return _load(prefix, digest)
    except (OSError, ValueError):
        return None


def check(prefix: Path, packages: Mapping[str, str], *, manifest: str | None) -> list[Damage]:
    """What is wrong with the finished prefix, sorted by path; nothing where it is as it was published.

    `packages` are the versions that should be there by canonical name, as `Lock.versions` gives them; `manifest` is
    `Prefix.manifest`. Takes as long as reading everything.
    """
    root = os.fspath(prefix)
    found = _Findings(prefix)
    try:
        if not stat.S_ISDIR(os.lstat(root).st_mode):
            raise NotADirectoryError
    except OSError:
        found.add(".", "missing", None, f"{_shown(root)} is gone.")
        return found.sorted()
    expected = _expected(found, manifest)
    scanned = Tree.scan(prefix, failed=found.unreadable, within=expected)
    tree, distributions = scanned.entries, read_all(scanned)
    for distribution in distributions:
        found.owners.add(distribution)
    if expected is not None:
        _compare(found, tree, expected)
    _compare_with_records(found, tree, distributions, expected)
    for path, entry in tree.items():
        if entry.kind in ("file", "folder") and entry.mode & 0o222:
            found.add(path, "writable", found.owners.of(path), f"{_shown(path)} can be written.")
    _check_packages(found, tree, packages)
    _check_interpreter(found, tree)
    return found.sorted()


class _Findings:
    """The damages found so far. `gone`: folders whose content need not be told, as they are told themselves."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self.root = os.fspath(prefix)
        self.owners = Owners()
        self.gone: set[str] = set()
        self._found: dict[tuple[str, What], Damage] = {}

    def add(self, path: str, what: What, package: str | None, message: str) -> None:
        damage = Damage(path=_shown(path), what=what, package=package, message=message)
        self._found.setdefault((path, what), damage)

    def unreadable(self, path: str, error: OSError) -> None:
        self.gone.add(path)
        self.add(path, "changed", self.owners.of(path), f"{_shown(path)} could not be read: {error.strerror}.")

    def is_told(self, path: str, what: What) -> bool:
        return (path, what) in self._found

    def drop(self, path: str, what: What) -> None:
        self._found.pop((path, what), None)

    def is_inside_gone(self, path: str) -> bool:
        while path != ".":
            path = posixpath.dirname(path) or "."
            if path in self.gone:
                return True
        return False

    def sorted(self) -> list[Damage]:
        return [damage for _, damage in sorted(self._found.items(), key=lambda item: item[0])]


def _expected(found: _Findings, digest: str | None) -> dict[str, Entry] | None:
    """What the manifest lists; None where there is none to trust."""
    shown = f"../{manifest_path(found.prefix).name}"
    try:
        return _load(found.prefix, digest)
    except FileNotFoundError:
        if digest is not None:
            found.add(shown, "missing", None, "The list of the files of this environment is missing.")
    except OSError as error:
        found.add(
            shown, "changed", None, f"The list of the files of this environment could not be read: {error.strerror}."
        )
    except ValueError:
        message = "The list of the files of this environment is not the one that was published."
        found.add(shown, "changed", None, message)
    return None


def _load(prefix: Path, digest: str | None) -> dict[str, Entry]:
    """The manifest of a prefix.

    Raises:
        OSError: it could not be read.
        ValueError: it is not the one with this sha256, or none that `manifest` has written.
    """
    data = read_file(os.fspath(manifest_path(prefix)), _MANIFEST_LIMIT)
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError("another manifest")
    entries = msgspec.json.decode(data, type=dict[str, Entry])
    return {
        _restored(path): entry if entry.kind != "link" else entry._replace(content=_restored(entry.content or ""))
        for path, entry in entries.items()
    }


def _stored(path: str) -> str:
    """A path as JSON can hold it: what is not ASCII stands as in an address, for names of files need not be Unicode."""
    return path if path.isascii() and "%" not in path else urllib.parse.quote(os.fsencode(path), safe="/ ")


def _restored(text: str) -> str:
    return text if "%" not in text else os.fsdecode(urllib.parse.unquote_to_bytes(text))


def _compare(found: _Findings, tree: Mapping[str, Entry], expected: Mapping[str, Entry]) -> None:
    """Tell every difference between the tree and its manifest."""
    owners = found.owners
    to_hash: dict[str, Collection[str | None]] = {}
    for path, wanted in expected.items():
        entry = tree.get(path)
        if entry is None:
            continue
        shown, package = _shown(path), owners.of(path)
        if entry.kind != wanted.kind:
            found.gone.add(path)
            found.add(path, "changed", package, f"{shown} is a {entry.kind} and was a {wanted.kind}.")
            continue
        if entry.kind == "link" and entry.content != wanted.content:
            links = f"links to {_shown(entry.content or '')} instead of {_shown(wanted.content or '')}"
            found.add(path, "changed", package, f"{shown} {links}.")
        # What group and others may read follows the folder of all prefixes, and hard links share it.
        if (entry.mode ^ wanted.mode) & 0o7500 and entry.kind in ("file", "folder"):
            modes = f"has mode {entry.mode:o} instead of {wanted.mode:o}"
            found.add(path, "changed", package, f"{shown} {modes}.")
        if entry.kind == "file":
            if entry.size != wanted.size:
                sizes = f"has {entry.size} bytes instead of {wanted.size}"
                found.add(path, "changed", package, f"{shown} {sizes}.")
            else:
                to_hash[path] = (wanted.content,)
    _compare_hashes(found, tree, to_hash)
    for path in sorted(expected.keys() - tree.keys()):
        # A folder comes before what is in it.
        found.gone.add(path)
        if not found.is_inside_gone(path):
            package = owners.of_folder(path) if expected[path].kind == "folder" else owners.of(path)
            found.add(path, "missing", package, f"{_shown(path)} is missing.")
    for path in tree.keys() - expected.keys():
        found.add(path, "extra", owners.of(path), f"{_shown(path)} was not there when it was built.")


def _compare_with_records(
    found: _Findings,
    tree: Mapping[str, Entry],
    distributions: Iterable[Distribution],
    expected: Mapping[str, Entry] | None,
) -> None:
    """Tell what a RECORD lists and is not there; without a manifest also what is there and has another hash."""
    listed: dict[str, str] = {}
    records = {distribution.record: distribution for distribution in distributions}
    for path, distribution in records.items():
        if found.is_told(path, "changed"):
            # What a changed RECORD says is worth nothing.
            continue
        if distribution.files is None and expected is None:
            found.add(path, "changed", distribution.package, f"{_shown(path)} cannot be read.")
        listed |= {file: distribution.package for file, digest in distribution.files or () if digest is not None}
    to_hash: dict[str, Collection[str | None]] = {}
    for path, package in listed.items():
        entry = tree.get(path)
        if entry is None:
            if not found.is_inside_gone(path):
                found.add(path, "missing", package, f"{_shown(path)} is missing.")
        elif entry.kind != "file":
            found.add(path, "changed", package, f"{_shown(path)} is a {entry.kind} and should be a file.")
        elif expected is None:
            to_hash[path] = found.owners.hashes[path]
    _compare_hashes(found, tree, to_hash)
    if expected is None:
        for path, entry in tree.items():
            record_path = f"{path}/RECORD"
            if is_info(path, entry) and record_path not in records:
                found.add(record_path, "missing", found.owners.of(path), f"{_shown(record_path)} is missing.")


def _compare_hashes(found: _Findings, tree: Mapping[str, Entry], hashes: Mapping[str, Collection[str | None]]) -> None:
    """Tell which of these files have none of the hashes that they may have."""

    def differing(paths: list[str]) -> list[tuple[str, OSError | None]]:
        told: list[tuple[str, OSError | None]] = []
        for path in paths:
            try:
                if _digest(_join(found.root, path), tree[path].size) not in hashes[path]:
                    told.append((path, None))
            except OSError as error:
                told.append((path, error))
        return told

    # In parts: to hand over single files costs more than to read most of them.
    ordered = sorted(hashes, key=lambda path: tree[path].size)
    parts = max(len(ordered) // 64, 1)
    with ThreadPoolExecutor(_THREADS) as pool:
        for told in pool.map(differing, [ordered[start::parts] for start in range(parts)]):
            for path, error in told:
                if error is not None:
                    found.unreadable(path, error)
                else:
                    message = f"{_shown(path)} does not hold what was installed."
                    found.add(path, "changed", found.owners.of(path), message)


def _check_packages(found: _Findings, tree: Mapping[str, Entry], packages: Mapping[str, str]) -> None:
    """Tell which distributions are missing, have another version or do not belong here."""
    present: dict[str, list[tuple[str, str]]] = {}
    for path, entry in tree.items():
        if is_info(path, entry):
            name, version = name_and_version(posixpath.basename(path))
            present.setdefault(name, []).append((version, path))
    for name, version in packages.items():
        others = present.pop(name, [])
        right = [item for item in others if _same_version(item[0], version)]
        for other, path in [item for item in others if item not in right[:1]]:
            is_or_also = "is there besides" if right else "is there instead of"
            found.add(path, "package", name, f"{name} {_shown(other)} {is_or_also} {version}.")
        if not others:
            where = next((path for path in tree if SITE.fullmatch(path)), "lib")
            found.add(f"{where}/{name}-{version}", "package", name, f"{name} {version} is not installed.")
    for name, others in present.items():
        for other, path in others:
            found.add(path, "package", name, f"{_shown(name)} {_shown(other)} is there and does not belong here.")


def _check_interpreter(found: _Findings, tree: Mapping[str, Entry]) -> None:
    """Tell where `bin/python` is not an interpreter in the folder that pyvenv.cfg calls home."""
    message = _interpreter_message(found.root, tree)
    if message is not None:
        found.drop("bin/python", "changed")
        found.add("bin/python", "interpreter", None, message)


def _interpreter_message(root: str, tree: Mapping[str, Entry]) -> str | None:
    path = "bin/python"
    for _ in range(8):
        entry = tree.get(path)
        if entry is None or entry.kind != "link" or entry.content is None or "\0" in entry.content:
            return "bin/python is no link to an interpreter."
        target = posixpath.normpath(posixpath.join("/bin" if not entry.content.startswith("/") else "/", entry.content))
        if entry.content.startswith("/"):
            break
        path = target.lstrip("/")
    else:
        return "bin/python links to itself."
    home = None
    if tree.get("pyvenv.cfg", Entry(0, "", 0, None)).kind == "file":
        try:
            text = read_file(_join(root, "pyvenv.cfg"), 1 << 20).decode()
        except (OSError, UnicodeDecodeError):
            text = ""
        for line in text.splitlines():
            key, sign, value = line.partition("=")
            if sign and key.strip() == "home":
                home = value.strip()
    if not home or "\0" in home:
        return "pyvenv.cfg does not name the home of an interpreter."
    folder = posixpath.dirname(target)
    if posixpath.normpath(home) != folder and os.path.realpath(home) != os.path.realpath(folder):
        return f"bin/python links to {_shown(target)}, which is not in {_shown(home)}."
    if not (os.path.isfile(target) and os.access(target, os.X_OK)):
        return f"The interpreter {_shown(target)} is gone."
    return None


def _ought(tree: Tree, path: str, entry: Entry, owners: Owners) -> str:
    """The hash that a file ought to have: what RECORD says; where that is nothing or disputed, what it has."""
    hashes = owners.hashes.get(path, set())
    if len(hashes) == 1:
        return next(iter(hashes))
    actual = _digest(tree.at(path), entry.size)
    # Two distributions bring the file: which one came last is not known, but it is one of them.
    return actual if not hashes or actual in hashes else min(hashes)


def _same_version(one: str, other: str) -> bool:
    try:
        return Version(one.replace("_", "-")) == Version(other)
    except InvalidVersion:
        return one == other


def _digest(path: str, size: int) -> str:
    """The sha256 of a regular file that had this size a moment ago."""
    descriptor = open_file(path)
    try:
        if size < _AT_ONCE:
            data = os.read(descriptor, _AT_ONCE)
            if len(data) < _AT_ONCE:
                return hashlib.sha256(data).hexdigest()
            os.lseek(descriptor, 0, os.SEEK_SET)
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    finally:
        os.close(descriptor)


def _join(root: str, path: str) -> str:
    return f"{root}/{path}"


def _shown(text: str) -> str:
    """A name as it may be printed: escapes for what is not Unicode, and for what a terminal would obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
