"""The interpreters of this machine: which Python an environment of a minor version is built on."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from envpanel import process
from envpanel.errors import InterpreterNotFound


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
            candidates = [] if self._search_path else [self.running(minor)]
            found = next((item for item in candidates if item is not None), None)
            if found is None:
                found = _newest(await self._installed(), minor)
            self._found[minor] = found
        return self._found[minor]

    async def _installed(self) -> list[Interpreter]:
        env = process.allowed(self._environ, ["UV_PYTHON_INSTALL_DIR"])
        env |= {"PATH": os.pathsep.join(self._folders()), "UV_NO_CONFIG": "1", "NO_COLOR": "1"}
        env |= {"UV_PYTHON_DOWNLOADS": "never"}
        argv = [self._uv, "python", "list", "--only-installed", "--output-format", "json"]
        finished = await process.run(argv, env=env, cwd=Path("/"), streams="stdout", timeout=60)
        try:
            entries = json.loads("\n".join(finished.lines))
        except ValueError:
            entries = []
        # The same interpreter is listed by each of its names.
        unique = {
            os.path.realpath(entry["path"]): entry["version"]
            for entry in entries
            if entry.get("implementation") == "cpython" and entry.get("variant", "default") == "default"
        }
        return [Interpreter(path=Path(path), version=version) for path, version in unique.items()]

    def _folders(self) -> list[str]:
        """Where to look. Shims of version managers are left out: they start what they think fit, not what was asked."""
        pyenv = Path(self._environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
        versions = sorted(str(folder) for folder in pyenv.glob("versions/*/bin"))
        path = [folder for folder in self._environ.get("PATH", "").split(os.pathsep) if folder]
        path = [folder for folder in path if Path(folder).name != "shims"]
        return [*self._search_path, *path, *versions, "/usr/local/bin", "/usr/bin"]


def _newest(installed: list[Interpreter], minor: str) -> Interpreter:
    fitting = [interpreter for interpreter in installed if interpreter.minor == minor]
    if fitting:
        return max(
            fitting, key=lambda interpreter: [int(part) for part in interpreter.version.split(".") if part.isdecimal()]
        )
    there = sorted({interpreter.minor for interpreter in installed}, key=lambda text: [int(p) for p in text.split(".")])
    raise InterpreterNotFound(
        f"Python {minor} is not on this machine" + (f"; there is {', '.join(there)}." if there else "."),
        hint="Install it, or name its folder under 'python_search_path' in settings.yaml.",
    )
