"""Verify: whether a finished prefix still holds what was installed; runs nothing of it and writes nothing.

When a prefix is published, a manifest of every file, link and folder in it is written beside it, and READY holds the
manifest's sha256. `check` reads every file and compares, so a single other bit anywhere is found.

To read 1.3 GB in 35,000 files again takes 4 to 6 s on two cores, too much for the end of every build. So `manifest`
takes the hash of a file from the RECORD of its distribution where there is one, and reads only what no RECORD vouches
for: scripts for shells, `pyvenv.cfg`, bytecode, the RECORDs. That takes 1.2 s, and 0.8 s where all bytecode is the
parent's. It is stricter, too: the installer does not compare files with their RECORD, so one that was wrong at build
time already (its other name, in the installer's cache, was written to) shows at `check`.

A prefix of an older envpanel has no manifest: then the RECORDs are all there is to compare with.

What a distribution says in its RECORD is never used as the path of a file, only looked up among the files found.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import posixpath
import re
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

What = Literal["missing", "changed", "extra", "writable", "interpreter", "package"]

_SITE = re.compile(r"lib/python3\.\d+t?/site-packages")
_BYTECODE = re.compile(r"(?P<folder>.*?)__pycache__/(?P<module>[^/]+?)\.[^./]+(\.opt-\d)?\.pyc")

# Larger ones are hashed piece by piece; below, one read is several times faster.
_AT_ONCE = 1 << 18
_RECORD_LIMIT = 64 << 20
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


class _Entry(NamedTuple):
    """A line of a manifest. `content` is the sha256 of a file in hexadecimal, or where a link points to."""

    mode: int
    kind: str
    size: int
    content: str | None


@dataclass(kw_only=True)
class _Record:
    """A RECORD: the path and sha256 (or None) of each file; `rows` is None where it cannot be read."""

    package: str
    digest: str | None
    rows: list[tuple[str, str | None]] | None


@dataclass
class _Owners:
    """Which distributions bring a file, and the hashes that they say it has."""

    packages: dict[str, str] = field(default_factory=dict)
    hashes: dict[str, set[str]] = field(default_factory=dict)

    def add(self, record: _Record) -> None:
        for path, digest in record.rows or ():
            self.packages.setdefault(path, record.package)
            if digest is not None:
                self.hashes.setdefault(path, set()).add(digest)

    def of(self, path: str) -> str | None:
        """The package that a file belongs to; bytecode belongs to that of its module."""
        if path in self.packages:
            return self.packages[path]
        module = _BYTECODE.fullmatch(path)
        if module is not None:
            return self.packages.get(f"{module['folder']}{module['module']}.py")
        for part in path.split("/"):
            if part.endswith(".dist-info"):
                return _name_and_version(part)[0]
        return None

    def of_folder(self, path: str) -> str | None:
        """The package that all known files of a folder belong to."""
        found = {package for file, package in self.packages.items() if file.startswith(f"{path}/")}
        return found.pop() if len(found) == 1 else self.of(path)


def manifest_path(prefix: Path) -> Path:
    """Where the manifest of a prefix is: beside it."""
    return prefix.with_name(f"{prefix.name}.manifest.json")


def manifest(prefix: Path, *, parent: Path | None = None, parent_manifest: str | None = None) -> bytes:
    """Every file, link and folder of a prefix as JSON: path -> [mode, kind, size, sha256 or where a link points to].

    The sha256 is the one that a file ought to have: see above. The same tree gives the same bytes. Of bytecode that is
    a hard link to that of `parent`, the hash is taken from the parent's manifest, whose sha256 is `parent_manifest`.

    Raises:
        OSError: something in it could not be read.
    """
    root = os.fspath(prefix)
    tree = _scan(root, _raise)
    records = _records(root, tree)
    owners = _Owners()
    for record in records.values():
        owners.add(record)
    shared = _Shared(parent, parent_manifest)
    content = {}
    for path, entry in tree.items():
        digest = entry.content
        if entry.kind == "file":
            known = records[path].digest if path in records else shared.digest(root, path)
            digest = known or _ought(root, path, entry, owners.hashes.get(path, set()))
        content[path] = (entry.mode, entry.kind, entry.size, digest)
    # ASCII, for names of files need not be Unicode: a lone surrogate goes through as an escape.
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"


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
    tree = _scan(root, found.unreadable, expected)
    records = _records(root, tree)
    for record in records.values():
        found.owners.add(record)
    if expected is not None:
        _compare(found, tree, expected)
    _compare_with_records(found, tree, records, expected)
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
        self.owners = _Owners()
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


class _Shared:
    """The bytecode that a prefix shares with its parent."""

    def __init__(self, parent: Path | None, digest: str | None) -> None:
        self._root = os.fspath(parent or "")
        self._entries: dict[str, _Entry] = {}
        if parent is not None and digest is not None:
            with contextlib.suppress(OSError, ValueError):
                self._entries = _load(parent, digest)

    def digest(self, root: str, path: str) -> str | None:
        """The hash that this file ought to have as the parent says; None where it is not the parent's."""
        entry = self._entries.get(path) if path.endswith(".pyc") else None
        if entry is None or entry.kind != "file":
            return None
        try:
            one, other = os.lstat(_join(root, path)), os.lstat(_join(self._root, path))
        except OSError:
            return None
        return entry.content if os.path.samestat(one, other) and one.st_size == entry.size else None


def _expected(found: _Findings, digest: str | None) -> dict[str, _Entry] | None:
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


def _load(prefix: Path, digest: str | None) -> dict[str, _Entry]:
    """The manifest of a prefix.

    Raises:
        OSError: it could not be read.
        ValueError: it is not the one with this sha256, or none that `manifest` has written.
    """
    data = _read(os.fspath(manifest_path(prefix)), _MANIFEST_LIMIT)
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError("another manifest")
    try:
        return {name: _entry(line) for name, line in json.loads(data).items()}
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError("no manifest") from error


def _entry(line: object) -> _Entry:
    if not isinstance(line, list):
        raise TypeError("not a line of a manifest")
    mode, kind, size, content = line
    if not (
        isinstance(mode, int) and isinstance(kind, str) and isinstance(size, int) and isinstance(content, str | None)
    ):
        raise TypeError("not a line of a manifest")
    return _Entry(mode, kind, size, content)


def _compare(found: _Findings, tree: Mapping[str, _Entry], expected: Mapping[str, _Entry]) -> None:
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
    tree: Mapping[str, _Entry],
    records: Mapping[str, _Record],
    expected: Mapping[str, _Entry] | None,
) -> None:
    """Tell what a RECORD lists and is not there; without a manifest also what is there and has another hash."""
    listed: dict[str, str] = {}
    for path, record in records.items():
        if found.is_told(path, "changed"):
            # What a changed RECORD says is worth nothing.
            continue
        if record.rows is None and expected is None:
            found.add(path, "changed", record.package, f"{_shown(path)} cannot be read.")
        listed |= {file: record.package for file, digest in record.rows or () if digest is not None}
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
            if _is_info(path, entry) and record_path not in records:
                found.add(record_path, "missing", found.owners.of(path), f"{_shown(record_path)} is missing.")


def _compare_hashes(found: _Findings, tree: Mapping[str, _Entry], hashes: Mapping[str, Collection[str | None]]) -> None:
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


def _check_packages(found: _Findings, tree: Mapping[str, _Entry], packages: Mapping[str, str]) -> None:
    """Tell which distributions are missing, have another version or do not belong here."""
    present: dict[str, list[tuple[str, str]]] = {}
    for path, entry in tree.items():
        if _is_info(path, entry):
            name, version = _name_and_version(posixpath.basename(path))
            present.setdefault(name, []).append((version, path))
    for name, version in packages.items():
        others = present.pop(name, [])
        right = [item for item in others if _same_version(item[0], version)]
        for other, path in [item for item in others if item not in right[:1]]:
            is_or_also = "is there besides" if right else "is there instead of"
            found.add(path, "package", name, f"{name} {_shown(other)} {is_or_also} {version}.")
        if not others:
            where = next((path for path in tree if _SITE.fullmatch(path)), "lib")
            found.add(f"{where}/{name}-{version}", "package", name, f"{name} {version} is not installed.")
    for name, others in present.items():
        for other, path in others:
            found.add(path, "package", name, f"{_shown(name)} {_shown(other)} is there and does not belong here.")


def _check_interpreter(found: _Findings, tree: Mapping[str, _Entry]) -> None:
    """Tell where `bin/python` is not an interpreter in the folder that pyvenv.cfg calls home."""
    message = _interpreter_message(found.root, tree)
    if message is not None:
        found.drop("bin/python", "changed")
        found.add("bin/python", "interpreter", None, message)


def _interpreter_message(root: str, tree: Mapping[str, _Entry]) -> str | None:
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
    if tree.get("pyvenv.cfg", _Entry(0, "", 0, None)).kind == "file":
        try:
            text = _read(_join(root, "pyvenv.cfg"), 1 << 20).decode()
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


def _scan(
    root: str, failed: Callable[[str, OSError], None], within: Mapping[str, _Entry] | None = None
) -> dict[str, _Entry]:
    """All that is below a folder, and the folder itself as `.`; links are not followed, files not opened.

    Of folders that `within` does not have as such, what is in them is left out.
    """
    tree = {".": _Entry(stat.S_IMODE(os.lstat(root).st_mode), "folder", 0, None)}
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(_join(root, folder)) as entries:
                for item in entries:
                    path = f"{folder}{item.name}"
                    status = item.stat(follow_symlinks=False)
                    mode = stat.S_IMODE(status.st_mode)
                    if stat.S_ISREG(status.st_mode):
                        tree[path] = _Entry(mode, "file", status.st_size, None)
                    elif stat.S_ISDIR(status.st_mode):
                        tree[path] = _Entry(mode, "folder", 0, None)
                        if within is None or (path in within and within[path].kind == "folder"):
                            folders.append(f"{path}/")
                    elif stat.S_ISLNK(status.st_mode):
                        tree[path] = _Entry(mode, "link", 0, os.readlink(item.path))
                    else:
                        tree[path] = _Entry(mode, "special file", 0, None)
        except OSError as error:
            failed(folder.rstrip("/") or ".", error)
    return tree


def _records(root: str, tree: Mapping[str, _Entry]) -> dict[str, _Record]:
    """The RECORDs of the distributions, by their paths."""
    records = {}
    for path, entry in tree.items():
        record = f"{path}/RECORD"
        if not _is_info(path, entry) or tree.get(record, entry).kind != "file":
            continue
        package = _name_and_version(posixpath.basename(path))[0]
        try:
            data = _read(_join(root, record), _RECORD_LIMIT)
        except OSError:
            records[record] = _Record(package=package, digest=None, rows=None)
            continue
        rows: list[tuple[str, str | None]] | None
        try:
            rows = list(_rows(data, posixpath.dirname(path)))
        except (UnicodeDecodeError, csv.Error):
            rows = None
        records[record] = _Record(package=package, digest=hashlib.sha256(data).hexdigest(), rows=rows)
    return records


def _rows(data: bytes, site: str) -> Iterator[tuple[str, str | None]]:
    """Path and sha256 of the files that a RECORD lists; what is outside of the prefix is left out."""
    for row in csv.reader(io.StringIO(data.decode(), newline="")):
        if not row or not row[0] or row[0].startswith("/"):
            continue
        path = f"{site}/{row[0]}"
        if "./" in path or "//" in path or path.endswith(("/", "/.", "/..")):
            path = posixpath.normpath(path)
            if path in (".", "..") or path.startswith("../"):
                continue
        yield path, _sha256(row[1]) if len(row) > 1 else None


def _sha256(text: str) -> str | None:
    """The hash of a row in hexadecimal; None where it has none, or one of another kind."""
    kind, _, value = text.partition("=")
    if kind != "sha256":
        return None
    try:
        digest = base64.urlsafe_b64decode(f"{value.rstrip('=')}=").hex()
    except (binascii.Error, ValueError):
        return None
    return digest if len(digest) == 64 else None


def _ought(root: str, path: str, entry: _Entry, hashes: set[str]) -> str:
    """The hash that a file ought to have: what RECORD says; where that is nothing or disputed, what it has."""
    if len(hashes) == 1:
        return next(iter(hashes))
    actual = _digest(_join(root, path), entry.size)
    # Two distributions bring the file: which one came last is not known, but it is one of them.
    return actual if not hashes or actual in hashes else min(hashes)


def _is_info(path: str, entry: _Entry) -> bool:
    return (
        entry.kind == "folder" and path.endswith(".dist-info") and _SITE.fullmatch(posixpath.dirname(path)) is not None
    )


def _name_and_version(info: str) -> tuple[str, str]:
    name, _, version = info.removesuffix(".dist-info").rpartition("-")
    return canonicalize_name(name), version


def _same_version(one: str, other: str) -> bool:
    try:
        return Version(one.replace("_", "-")) == Version(other)
    except InvalidVersion:
        return one == other


def _digest(path: str, size: int) -> str:
    """The sha256 of a regular file that had this size a moment ago."""
    descriptor = _open(path)
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


def _read(path: str, limit: int) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: it is none, is larger than `limit`, or could not be read.
    """
    with open(_open(path), "rb") as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise OSError(errno.EFBIG, "it is too large", path)
        return file.read(limit)


def _open(path: str) -> int:
    """Open a regular file; nothing else is waited for (a pipe) or followed (a link).

    Raises:
        OSError: it is something else, or cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return descriptor


def _join(root: str, path: str) -> str:
    return f"{root}/{path}"


def _raise(_: str, error: OSError) -> None:
    raise error


def _shown(text: str) -> str:
    """A name as it may be printed: escapes for what is not Unicode, and for what a terminal would obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
