"""The interpreters of this machine: which Python an environment of a minor version is built on."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from envpanel import process
from envpanel.errors import EngineFailed, InterpreterNotFound


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A CPython by its real path and full version: `3.11.7`."""

    path: Path
    version: str

    @property
    def minor(self) -> str:
        """`3.11`"""
        return ".".join(self.version.split(".")[:2])


class Interpreters:
    """Finds interpreters: the one that runs envpanel, else those of `search_path`, PATH, pyenv and uv."""

    def __init__(self, uv: str, environ: Mapping[str, str], search_path: Sequence[str] = ()) -> None:
        self._uv = uv
        self._environ = environ
        self._search_path = tuple(search_path)
        self._found: dict[str, Interpreter] = {}

    def running(self, minor: str) -> Interpreter | None:
        """The base interpreter of the Python that runs this, where it is of this minor version."""
        if platform.python_version().rsplit(".", 1)[0] != minor or sys.implementation.name != "cpython":
            return None
        base = getattr(sys, "_base_executable", None) or sys.executable
        return Interpreter(path=Path(os.path.realpath(base)), version=platform.python_version())

    async def find(self, minor: str) -> Interpreter:
        """The newest CPython of this minor version.

        Raises:
            InterpreterNotFound: with what there is instead.
        """
        if minor not in self._found:
            # Where the project names folders, this one has no preference over the others.
            found = self.running(minor) if not self._search_path else None
            self._found[minor] = found or self._best(await self._installed(), minor)
        return self._found[minor]

    def _best(self, installed: Mapping[str, Interpreter], minor: str) -> Interpreter:
        """The newest of those in the folders of the search path, else of all. Keys are paths as they are listed."""
        fitting = {path: item for path, item in installed.items() if item.minor == minor}
        named = [item for path, item in fitting.items() if str(Path(path).parent) in self._search_path]
        found = max(named or fitting.values(), key=lambda item: _numbers(item.version), default=None)
        if found is not None:
            return found
        there = sorted({item.minor for item in installed.values()}, key=_numbers)
        raise InterpreterNotFound(
            f"Python {minor} is not on this machine" + (f"; there is {', '.join(there)}." if there else "."),
            hint="Install it, or name its folder under 'python_search_path' in settings.yaml.",
        )

    async def _installed(self) -> dict[str, Interpreter]:
        env = process.allowed(self._environ, ["UV_PYTHON_INSTALL_DIR"])
        env |= {"PATH": os.pathsep.join(self._folders()), "UV_NO_CONFIG": "1", "NO_COLOR": "1"}
        env |= {"UV_PYTHON_DOWNLOADS": "never"}
        argv = [self._uv, "python", "list", "--only-installed", "--output-format", "json"]
        try:
            finished = await process.run(argv, env=env, cwd=Path("/"), streams="stdout", timeout=60)
        except (OSError, process.TimedOut) as error:
            raise EngineFailed(f"uv could not look for Python: {getattr(error, 'strerror', None) or error}.") from error
        found = {}
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            for entry in json.loads("\n".join(finished.lines)):
                if entry.get("implementation") == "cpython" and entry.get("variant", "default") == "default":
                    path = str(entry["path"])
                    real = Path(os.path.realpath(path))
                    found[path] = Interpreter(path=real, version=str(entry["version"]))
        return found

    def _folders(self) -> list[str]:
        """Where to look. Shims of version managers are left out: they start what they think fit, not what was asked."""
        pyenv = Path(self._environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
        versions = sorted(str(folder) for folder in pyenv.glob("versions/*/bin"))
        path = [folder for folder in self._environ.get("PATH", "").split(os.pathsep) if folder]
        path = [folder for folder in path if Path(folder).name != "shims"]
        return [*self._search_path, *path, *versions, "/usr/local/bin", "/usr/bin"]


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]
