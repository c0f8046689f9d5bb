"""A prefix: a directory that was built at its final path, finished by a READY file, read-only from then on.

    prefixes/<key>/<build id>/           the directory
    prefixes/<key>/<build id>.lock       flock of its builder, and of every program that the builder started
    prefixes/<key>/READY-<n>.json        create-only: names the directory; the highest n counts

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
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from envpanel.errors import StoreError
from envpanel.model import wire

_READY = re.compile(r"READY-(\d+)\.json")


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """A finished prefix. `ready` is the READY file that names it: a shared flock on it keeps it from removal."""

    key: str
    path: Path
    ready: Path

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
            name = json.loads(ready.read_bytes())["directory"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return Prefix(key=key, path=self.root / key / str(name), ready=ready)

    def is_building(self, key: str) -> bool:
        """Whether somebody on this machine is at it now."""
        return any(not _is_free(lock) for lock in self._children(key, "*.lock"))

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
            fcntl.flock(lock, fcntl.LOCK_EX)
        return Site(key=key, path=folder / build_id, lock=lock)

    def end(self, site: Site) -> None:
        """Give the lock back, and remove the directory where it was not published. Once for each `begin`."""
        try:
            if site.path.name not in self._named(site.key):
                remove_tree(site.path)
            site.path.with_suffix(".lock").unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                # Where nothing was ever finished, nothing is left.
                site.path.parent.rmdir()
        finally:
            os.close(site.lock)

    def publish(self, site: Site) -> Prefix:
        """Finish: make the directory read-only and name it. Who comes second gets the winner's.

        Raises:
            StoreError: it could not be written.
        """
        with _sentence(site.path):
            make_read_only(site.path, self._mode())
            content = wire.canonical({"directory": site.path.name}) + b"\n"
            temp = site.path.with_suffix(".ready")
            with temp.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            try:
                while True:
                    found = self.find(site.key)
                    if found is not None and found.is_whole:
                        return found
                    number = max(self._ready_numbers(site.key), default=0) + 1
                    with contextlib.suppress(FileExistsError):
                        os.link(temp, self._ready(site.key, number))
            finally:
                temp.unlink()

    def sweep(self) -> None:
        """Remove what killed builders left: directories that no READY names and whose lock is free."""
        for lock in self.root.glob("*/*.lock"):
            self._sweep(lock)

    def _sweep(self, lock: Path) -> None:
        directory = lock.with_suffix("")
        descriptor = _take(lock)
        if descriptor is None:
            return
        try:
            if directory.name not in self._named(directory.parent.name):
                remove_tree(directory)
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
        try:
            names = os.listdir(self.root / key)
        except OSError:
            return []
        return [int(match[1]) for match in map(_READY.fullmatch, names) if match]

    def _children(self, key: str, pattern: str) -> list[Path]:
        return list((self.root / key).glob(pattern))


def make_read_only(root: Path, mode: int = 0o755) -> None:
    """Take all write permission away below `root`, and what `mode` does not give to group and others.

    Symbolic links are left alone: through `bin/python` the interpreter of the host would be changed. Files that are
    hard links into the cache of an engine become read-only there too, which is wanted.
    """
    for folder, _, files in os.walk(root, topdown=False):
        for name in files:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode):
                wanted = mode & (0o555 if status.st_mode & 0o111 else 0o444)
                if stat.S_IMODE(status.st_mode) != wanted:
                    os.chmod(path, wanted)
        os.chmod(folder, mode & 0o555)


def remove_tree(root: Path) -> None:
    """Remove a directory, read-only parts included; never follows a symbolic link out of it. Absent is fine."""
    try:
        entries = list(os.scandir(root))
    except FileNotFoundError:
        return
    os.chmod(root, 0o700)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            remove_tree(Path(entry.path))
        else:
            os.unlink(entry.path)
    os.rmdir(root)


def _new_lock(path: Path) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Another builder that ends may take the empty folder away in between.
        with contextlib.suppress(FileNotFoundError):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)


def _take(lock: Path) -> int | None:
    """An exclusive flock on this file, or None where somebody holds it or it is gone."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


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
