"""A prefix: a directory that was built at its final path, finished by a READY file, read-only from then on.

    prefixes/<key>/<build id>/           the directory
    prefixes/<key>/<build id>.lock       flock of its builder, and of every program that the builder started
    prefixes/<key>/<build id>.manifest.json  every file in it, for `verify`
    prefixes/<key>/READY-<n>.json        create-only: names directory and sha256 of manifest; the highest n counts

Moving a directory breaks the scripts in it, so nothing is renamed: until a READY names it, it is not there. A directory
that no READY names is removed once its builder's lock is free.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from envpanel.errors import StoreError
from envpanel.model import wire
from envpanel.prefixes import verify
from envpanel.prefixes.distributions import Distribution
from envpanel.prefixes.tree import Tree

_READY = re.compile(r"READY-(\d+)\.json")


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """A finished prefix. `ready` is the READY file that names it: a shared flock on it keeps it from removal.

    `manifest` is the sha256 of the list of its files (`verify`); None where an older envpanel has built it.
    """

    key: str
    path: Path
    ready: Path
    manifest: str | None = None

    @property
    def bin(self) -> Path:
        """Its folder of programs."""
        return self.path / "bin"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.bin / "python"

    @property
    def is_whole(self) -> bool:
        """Whether it can be started at all; `verify` looks closer."""
        return self.python.exists() and (self.path / "pyvenv.cfg").exists()


@dataclass(frozen=True, kw_only=True)
class Site:
    """A directory in the making. `lock` is the file descriptor of the builder's flock, to be inherited by programs."""

    key: str
    path: Path
    lock: int


class Prefixes:
    """The prefixes of one cache."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, key: str) -> Prefix | None:
        """The prefix of this key, or None where none is finished. It may be damaged: see `Prefix.is_whole`."""
        numbers = self._ready_numbers(key)
        if not numbers:
            return None
        ready = self._ready(key, max(numbers))
        try:
            content = json.loads(ready.read_bytes())
            name, manifest = str(content["directory"]), content.get("manifest")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return Prefix(
            key=key, path=self.root / key / name, ready=ready, manifest=None if manifest is None else str(manifest)
        )

    def is_building(self, key: str) -> bool:
        """Whether somebody on this machine is at it now."""
        return any(not _is_free(lock) for lock in self._files(key, ".lock"))

    def begin(self, key: str) -> Site:
        """A new, absent directory of one's own to build in; `end` it in any case.

        Raises:
            StoreError: it could not be written.
        """
        folder = self.root / key
        with _sentence(folder):
            self.sweep()
            build_id = secrets.token_hex(4)
            lock = _new_lock(folder / f"{build_id}.lock")
        return Site(key=key, path=folder / build_id, lock=lock)

    def end(self, site: Site) -> None:
        """Give the lock back, and remove the directory where it was not published. Once for each `begin`."""
        try:
            if site.path.name not in self._named(site.key):
                remove_tree(site.path)
                verify.manifest_path(site.path).unlink(missing_ok=True)
            site.path.with_suffix(".lock").unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                # Where nothing was ever finished, nothing is left.
                site.path.parent.rmdir()
        finally:
            os.close(site.lock)

    def publish(
        self,
        site: Site,
        *,
        tree: Tree | None = None,
        distributions: Iterable[Distribution] | None = None,
        instead_of: Prefix | None = None,
    ) -> Prefix:
        """Finish: make the directory read-only, list its files and name it. Who comes second gets the winner's.

        `tree` and `distributions` are those of the directory, where they are known.
        `instead_of` is one that is replaced, though it could be started: who is second to replace it gets the winner's.

        Raises:
            StoreError: it is not whole, or could not be written.
        """
        if not Prefix(key=site.key, path=site.path, ready=site.path).is_whole:
            raise StoreError(f"{site.path} has no interpreter, so it cannot be finished.")
        with _sentence(site.path):
            tree = tree or Tree.scan(site.path)
            tree.protect(self._mode())
            manifest = verify.manifest(tree, distributions)
            self._write(verify.manifest_path(site.path), manifest)
            temp = site.path.with_suffix(".ready")
            ready = {"directory": site.path.name, "manifest": wire.sha256(manifest)}
            self._write(temp, wire.canonical(ready) + b"\n")
            try:
                while True:
                    # The number first: what is published after this look takes the number away from us.
                    number = max(self._ready_numbers(site.key), default=0) + 1
                    found = self.find(site.key)
                    if found is not None and found.is_whole and found != instead_of:
                        return found
                    with contextlib.suppress(FileExistsError):
                        os.link(temp, self._ready(site.key, number))
            finally:
                temp.unlink()

    def sweep(self) -> None:
        """Remove what killed builders left: directories that no READY names and whose lock is free."""
        for key in _names(self.root):
            for lock in self._files(key, ".lock", ".new"):
                self._sweep(lock)

    def _write(self, path: Path, data: bytes) -> None:
        """Write a new file that stays as it is, for all who may read the prefixes."""
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(path, self._mode() & 0o444)

    def _sweep(self, lock: Path) -> None:
        directory = lock.with_suffix("")
        descriptor = _take(lock)
        if descriptor is None:
            return
        try:
            if directory.name not in self._named(directory.parent.name):
                remove_tree(directory)
                verify.manifest_path(directory).unlink(missing_ok=True)
            lock.with_suffix(".ready").unlink(missing_ok=True)
            lock.unlink(missing_ok=True)
        finally:
            os.close(descriptor)

    def _named(self, key: str) -> set[str]:
        """The directories that a READY names, the damaged ones that were rebuilt included."""
        named = set()
        for number in self._ready_numbers(key):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                named.add(str(json.loads(self._ready(key, number).read_bytes())["directory"]))
        return named

    def _mode(self) -> int:
        """Who may read: everybody, the group or the owner only, as with the folder of all prefixes."""
        mode = stat.S_IMODE(self.root.stat().st_mode)
        return 0o700 | (0o070 if mode & 0o040 else 0) | (0o007 if mode & 0o004 else 0)

    def _ready(self, key: str, number: int) -> Path:
        return self.root / key / f"READY-{number}.json"

    def _ready_numbers(self, key: str) -> list[int]:
        return [int(match[1]) for match in map(_READY.fullmatch, _names(self.root / key)) if match]

    def _files(self, key: str, *suffixes: str) -> list[Path]:
        return [self.root / key / name for name in _names(self.root / key) if name.endswith(suffixes)]


def remove_tree(root: Path) -> None:
    """Remove a directory, read-only parts included; never follows a symbolic link out of it. Absent is fine."""
    if os.path.islink(root):
        os.unlink(root)
        return
    if not os.path.isdir(root):
        return
    os.chmod(root, 0o700)
    for folder, inner, _ in os.walk(root):
        # Before the walk goes down into them.
        for name in inner:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    shutil.rmtree(root)


def _names(folder: Path) -> list[str]:
    """What is in a folder; nothing where it is gone, as it may be at any time. (glob would raise.)"""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _new_lock(path: Path) -> int:
    """A new lock file that is locked from the moment it has its name: else a sweep could take it for a dead one's."""
    new = path.with_suffix(".new")
    while True:
        # Another builder that ends may take the empty folder away in between, and a sweep the new file.
        with contextlib.suppress(FileNotFoundError):
            _make_folder(path.parent)
            descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                os.rename(new, path)
            except BaseException:
                os.close(descriptor)
                raise
            return descriptor


def _make_folder(path: Path) -> None:
    """Make it, and what is missing above it, for whoever may see the folder above, whatever the umask is."""
    if path.is_dir():
        return
    _make_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir()
        path.chmod(stat.S_IMODE(path.parent.stat().st_mode) | 0o700)


def _take(lock: Path) -> int | None:
    """An exclusive flock on this file, or None where somebody holds it or it is gone."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # While we waited for it another sweep may have removed it, and a builder may have made a new one of that name.
        if os.path.samestat(os.fstat(descriptor), os.stat(lock)):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _is_free(lock: Path) -> bool:
    descriptor = _take(lock)
    if descriptor is None:
        return not lock.exists()
    os.close(descriptor)
    return True


@contextlib.contextmanager
def _sentence(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path} could not be written: {error.strerror}.") from error
