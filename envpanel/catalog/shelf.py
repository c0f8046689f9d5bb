"""A shelf of small files that may vanish: what was fetched, and when it was last compared with where it came from."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_KEPT_FOR = 30 * 24 * 3600.0
_HALF_WRITTEN_FOR = 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What lies on the shelf; `moment` (seconds since 1970) is when it was last compared."""

    header: Mapping[str, str]
    body: bytes
    moment: float

    @property
    def age(self) -> float:
        """Seconds since it was compared with its source; below 0 where the clock was put back."""
        return time.time() - self.moment


class Shelf:
    """Files with a line of JSON and a body each, in a folder of one user. What cannot be kept is done without."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._is_swept = False

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            OSError: it cannot be made.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._is_swept:
            self._is_swept = True
            self._sweep()

    def get(self, key: str) -> Kept | None:
        """What is kept under this key."""
        try:
            with (self.folder / key).open("rb") as file:
                first = json.loads(file.readline(1 << 20))
                body, moment = file.read(), os.fstat(file.fileno()).st_mtime
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(first, dict) or not all(isinstance(value, str) for value in first.values()):
            return None
        return Kept(header=first, body=body, moment=moment)

    def put(self, key: str, header: Mapping[str, str], body: bytes) -> None:
        """Keep this."""
        temp = self.folder / f"{key}.{secrets.token_hex(4)}.part"
        with contextlib.suppress(OSError):
            self.prepare()
            try:
                temp.touch(mode=0o600, exist_ok=False)
                temp.write_bytes(json.dumps(dict(header)).encode() + b"\n" + body)
                temp.replace(self.folder / key)
            finally:
                temp.unlink(missing_ok=True)

    def touch(self, key: str) -> None:
        """It was compared with its source just now, and is the same."""
        with contextlib.suppress(OSError):
            os.utime(self.folder / key)

    def _sweep(self) -> None:
        """Forget what nobody has asked for in a month, and what was left half written."""
        now = time.time()
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    age = now - entry.stat(follow_symlinks=False).st_mtime
                    if age > (_HALF_WRITTEN_FOR if entry.name.endswith(".part") else _KEPT_FOR):
                        Path(entry.path).unlink()
