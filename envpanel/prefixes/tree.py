"""The tree of a prefix: everything in it, found in one walk, which is the dear part with tens of thousands of files."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_THREADS = 4


class Entry(NamedTuple):
    """What stands at a path. `kind` is file, folder, link or special file; `size` of a file in bytes.

    `content` is the sha256 that a file ought to have in hexadecimal, where that is known, or where a link points to.
    """

    mode: int
    kind: str
    size: int
    content: str | None


@dataclass(frozen=True)
class Tree:
    """All that is below the folder `root`, by its path relative to it; the folder itself is `.`."""

    root: str
    entries: dict[str, Entry]

    @classmethod
    def scan(
        cls,
        root: Path,
        *,
        failed: Callable[[str, OSError], None] | None = None,
        within: Mapping[str, Entry] | None = None,
    ) -> Tree:
        """Walk through the folder; links are not followed, files not opened.

        Of folders that `within` does not have as such, what is in them is left out. `failed` is told which folder
        could not be read.

        Raises:
            OSError: the folder itself could not be read, or another one and nobody is to be told.
        """
        name = os.fspath(root)
        entries = {".": _entry(name, os.lstat(name))}
        folders = [""] if entries["."].kind == "folder" else []
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(f"{name}/{folder}") as found:
                    for item in found:
                        path = f"{folder}{item.name}"
                        entry = entries[path] = _entry(item.path, item.stat(follow_symlinks=False))
                        if entry.kind == "folder" and (
                            within is None or (path in within and within[path].kind == "folder")
                        ):
                            folders.append(f"{path}/")
            except OSError as error:
                if failed is None:
                    raise
                failed(folder.rstrip("/") or ".", error)
        return cls(name, entries)

    def look(self, path: str) -> bool:
        """Take in what stands at a path by now; whether there is anything."""
        try:
            self.entries[path] = _entry(self.at(path), os.lstat(self.at(path)))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                raise
            return False
        return True

    def at(self, path: str) -> str:
        """The path of an entry on the disk."""
        return f"{self.root}/{path}"

    def protect(self, mode: int = 0o755) -> None:
        """Take all write permission away, and what `mode` does not give to group and others.

        Symbolic links are left alone: through `bin/python` the interpreter of the host would be changed. Files that are
        hard links into the cache of an engine become read-only there too, which is wanted.
        """
        wanted = {}
        for path, entry in self.entries.items():
            right = entry.mode
            if entry.kind == "file":
                right = mode & (0o555 if entry.mode & 0o111 else 0o444)
            elif entry.kind == "folder":
                right = mode & 0o555
            if entry.mode != right:
                wanted[path] = right
        paths = list(wanted)

        def change(part: list[str]) -> None:
            for path in part:
                os.chmod(self.at(path), wanted[path])

        with ThreadPoolExecutor(_THREADS) as pool:
            # The results are looked at, for the errors.
            list(pool.map(change, [paths[start : start + 100] for start in range(0, len(paths), 100)]))
        for path in paths:
            self.entries[path] = self.entries[path]._replace(mode=wanted[path])


def _entry(path: str, status: os.stat_result) -> Entry:
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISREG(status.st_mode):
        return Entry(mode, "file", status.st_size, None)
    if stat.S_ISDIR(status.st_mode):
        return Entry(mode, "folder", 0, None)
    if stat.S_ISLNK(status.st_mode):
        return Entry(mode, "link", 0, os.readlink(path))
    return Entry(mode, "special file", 0, None)
