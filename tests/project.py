"""A project in a folder of its own, on the home-made package index, driven by the real command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wheelhouse import Wheelhouse


@dataclass
class Answer:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The error that it printed."""
        assert self.code != 0, self.out
        return json.loads(self.err.strip().splitlines()[-1])


@dataclass
class Project:
    """`folder` is the working directory, `house` the index; `env` goes to every command besides."""

    folder: Path
    house: Wheelhouse
    env: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """The home that commands find by themselves."""
        return self.folder / ".envpanel"

    @property
    def variables(self) -> dict[str, str]:
        """The environment of commands: this one's, without what would lead elsewhere."""
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("UV_", "ENVPANEL_", "JUPYTERHUB"))
        }
        index = {"UV_DEFAULT_INDEX": self.house.url, "ENVPANEL_CACHE": str(self.folder.parent / "user-cache")}
        return {**kept, **index, **self.env}

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command and go on."""
        argv = [sys.executable, "-m", "envpanel", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(argv, cwd=self.folder, env=self.variables, text=True, **pipes, **options)

    def run(self, *arguments: str) -> Answer:
        """Run a command to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        return Answer(process.returncode, out, err)

    def ok(self, *arguments: str) -> Any:
        """What a command that has to work prints, by `--json`."""
        return self.run(*arguments, "--json").json

    def refused(self, *arguments: str) -> Any:
        """The error of a command that has to fail with 1, by `--json`; no traceback, nothing on standard output."""
        answer = self.run(*arguments, "--json")
        assert answer.code == 1, (answer.code, answer.out, answer.err)
        assert answer.out == ""
        assert "Traceback" not in answer.err
        return answer.error

    def versions(self, name: str) -> dict[str, str]:
        """Version by name, of the head."""
        return {package["name"]: package["version"] for package in self.ok("packages", name)}
