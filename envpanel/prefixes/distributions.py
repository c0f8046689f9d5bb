"""The distributions of a prefix, as their RECORD files tell: which files each has brought, with which hashes.

What a distribution says in its RECORD is never used as the path of a file, only looked up among the files found.
Format: https://packaging.python.org/en/latest/specifications/recording-installed-packages/
"""

from __future__ import annotations

import base64
import binascii
import csv
import errno
import hashlib
import io
import os
import posixpath
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from envpanel.prefixes.tree import Entry, Tree

SITE = re.compile(r"lib/python3\.\d+t?/site-packages")
"""Where the packages of a prefix are, relative to it."""

_BYTECODE = re.compile(r"(?P<folder>.*?)__pycache__/(?P<module>[^/]+?)\.[^./]+(\.opt-\d)?\.pyc")
_RECORD_LIMIT = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A distribution: its canonical name, where its RECORD is and its sha256 (None: not to be read).

    `files` are path and sha256 (None: it says none) of what it has brought; None where the RECORD has no such lines.
    """

    package: str
    record: str
    digest: str | None
    files: tuple[tuple[str, str | None], ...] | None


class Owners:
    """Which distributions have brought a file, and the hashes that they say it has."""

    def __init__(self, distributions: Iterable[Distribution] = ()) -> None:
        self.packages: dict[str, str] = {}
        self.hashes: dict[str, set[str]] = {}
        for distribution in distributions:
            self.add(distribution)

    def add(self, distribution: Distribution) -> None:
        """Take in the files of one more."""
        for path, digest in distribution.files or ():
            self.packages.setdefault(path, distribution.package)
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
                return name_and_version(part)[0]
        return None

    def of_folder(self, path: str) -> str | None:
        """The package that all known files of a folder belong to."""
        found = {package for file, package in self.packages.items() if file.startswith(f"{path}/")}
        return found.pop() if len(found) == 1 else self.of(path)


def read_all(tree: Tree, *, known: Iterable[Distribution] = ()) -> list[Distribution]:
    """The distributions of a tree. One of `known` whose RECORD has the same content is not parsed again."""
    parsed = {(other.record, other.digest): other for other in known if other.digest is not None}
    found = []
    for path, entry in tree.entries.items():
        record = f"{path}/RECORD"
        if not is_info(path, entry) or tree.entries.get(record, entry).kind != "file":
            continue
        package = name_and_version(posixpath.basename(path))[0]
        try:
            data = read_file(tree.at(record), _RECORD_LIMIT)
        except OSError:
            found.append(Distribution(package=package, record=record, digest=None, files=None))
            continue
        digest = hashlib.sha256(data).hexdigest()
        same = parsed.get((record, digest))
        if same is None:
            files: tuple[tuple[str, str | None], ...] | None
            try:
                files = tuple(_files(data, posixpath.dirname(path)))
            except (UnicodeDecodeError, csv.Error):
                files = None
            same = Distribution(package=package, record=record, digest=digest, files=files)
        found.append(same)
    return found


def metadata(prefix: Path) -> Tree:
    """The part of a prefix's tree that `read_all` needs; much less than all of it."""
    tree = Tree(os.fspath(prefix), {})
    for info in prefix.glob("lib/python3.*/site-packages/*.dist-info"):
        path = info.relative_to(prefix).as_posix()
        tree.look(path)
        tree.look(f"{path}/RECORD")
    return tree


def is_info(path: str, entry: Entry) -> bool:
    """Whether this is the folder with the metadata of a distribution."""
    return (
        entry.kind == "folder" and path.endswith(".dist-info") and SITE.fullmatch(posixpath.dirname(path)) is not None
    )


def name_and_version(info: str) -> tuple[str, str]:
    """The canonical name and the version in the name of a folder with metadata."""
    name, _, version = info.removesuffix(".dist-info").rpartition("-")
    return canonicalize_name(name), version


def read_file(path: str, limit: int) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: it is none, is larger than `limit` bytes, or could not be read.
    """
    with open(open_file(path), "rb") as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise OSError(errno.EFBIG, "it is too large", path)
        return file.read(limit)


def open_file(path: str) -> int:
    """A descriptor of a regular file; nothing else is waited for (a pipe) or followed (a link).

    Raises:
        OSError: it is something else, or cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return descriptor


def _files(data: bytes, site: str) -> Iterator[tuple[str, str | None]]:
    """What a RECORD lists; what is outside of the prefix is left out."""
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
    """The hash of a line in hexadecimal; None where it has none, or one of another kind."""
    kind, _, value = text.partition("=")
    if kind != "sha256":
        return None
    try:
        digest = base64.urlsafe_b64decode(f"{value.rstrip('=')}=").hex()
    except (binascii.Error, ValueError):
        return None
    return digest if len(digest) == 64 else None
