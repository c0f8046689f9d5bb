"""Kernelspecs: what puts environments into launchers and pickers, and finds them without a server.

A kernelspec names an environment, not a revision: `launch` resolves it when a kernel starts. There are two kinds. One
starts kernels by `python -m envpanel.kernels.launch`, wherever Jupyter is; those of a home are in `<cache>/kernels`, so
`JUPYTER_PATH=<cache>` finds them. The other, of a server with this extension, also names the provisioner, which does
the same inside the server; no Jupyter without envpanel could start it.

Format: https://jupyter-client.readthedocs.io/en/stable/kernels.html#kernel-specs
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envpanel.kernels.tools import make_folder
from envpanel.model.nouns import Group, Kind, State
from envpanel.service import Environment, Environments

PREFIX = "envpanel."
PROVISIONER = "envpanel-provisioner"

_LOGOS = ("logo-svg.svg", "logo-64x64.png")


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A kernelspec of an environment, or of one revision of it, which it then stays with."""

    environment: str
    group: Group
    revision: int | None = None

    @property
    def name(self) -> str:
        """As notebooks hold it: `envpanel.churn`, `envpanel.churn.r3`."""
        return spec_name(self.environment, self.revision)

    @property
    def display_name(self) -> str:
        """As launcher and picker show it: `churn · FEATURE ENGINEERING`."""
        pinned = f" r{self.revision}" if self.revision is not None else ""
        return f"{self.environment}{pinned} · {self.group.title}"

    @property
    def target(self) -> str:
        """As command lines write it: `churn`, `churn@3`."""
        return self.environment + (f"@{self.revision}" if self.revision is not None else "")


@dataclass(frozen=True, kw_only=True)
class SpecFolder:
    """A folder of kernelspecs for the environments of `home`, such as `~/.local/share/jupyter/kernels`.

    With `provisioner` they are those of a server. `variables` are set where a kernel is launched, `python` is one that
    has envpanel.
    """

    path: Path
    home: str
    provisioner: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    python: str = sys.executable

    def write(self, spec: Spec) -> bool:
        """Put it there where it is missing or different; whether it was.

        Raises:
            OSError: it could not be written.
        """
        folder = self.path / spec.name
        kernel = folder / "kernel.json"
        content = self._content(spec)
        if _holds(kernel, content):
            return False
        make_folder(folder)
        for logo in _LOGOS:
            _replace(folder / logo, Path(__file__).with_name(logo).read_bytes())
        # Last: without it, the folder is no kernelspec yet.
        _replace(kernel, json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n")
        return True

    def remove(self, name: str) -> bool:
        """Take it away, if it is there and one of envpanel's; whether it was.

        Raises:
            OSError: it could not be removed.
        """
        folder = self.path / name
        if not name.startswith(PREFIX) or "envpanel" not in _read(folder / "kernel.json").get("metadata", {}):
            return False
        (folder / "kernel.json").unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        return True

    def names(self) -> list[str]:
        """Those that are there, of envpanel."""
        try:
            names = [folder.name for folder in self.path.iterdir()]
        except OSError:
            return []
        return sorted(
            name for name in names if name.startswith(PREFIX) and (self.path / name / "kernel.json").is_file()
        )

    def synchronise(self, specs: Iterable[Spec]) -> bool:
        """Have exactly these of envpanel's; whether anything was different. Takes a fraction of a millisecond each.

        Raises:
            OSError: it could not be written.
        """
        wanted = {spec.name: spec for spec in specs}
        changed = [self.write(spec) for spec in wanted.values()]
        changed += [self.remove(name) for name in self.names() if name not in wanted]
        return any(changed)

    def _content(self, spec: Spec) -> dict[str, Any]:
        # -P: the folder of the notebook must not come first on the path of the launcher.
        argv = [self.python, "-P", "-m", "envpanel.kernels.launch", "--home", self.home]
        metadata: dict[str, Any] = {
            "debugger": True,
            "envpanel": {
                "home": self.home,
                "environment": spec.environment,
                "group": spec.group.value,
                "revision": spec.revision,
            },
        }
        if self.provisioner:
            config = {"home": self.home, "environment": spec.environment, "pinned": spec.revision}
            metadata["kernel_provisioner"] = {"provisioner_name": PROVISIONER, "config": config}
        content = {
            "argv": [*argv, spec.target, "-f", "{connection_file}"],
            "display_name": spec.display_name,
            "language": "python",
            "interrupt_mode": "signal",
            "metadata": metadata,
        }
        if self.variables:
            # Jupyter puts variables in for $NAME there.
            content["env"] = {name: value.replace("$", "$$") for name, value in self.variables.items()}
        return content


def spec_name(environment: str, revision: int | None = None) -> str:
    """The name of a kernelspec."""
    return f"{PREFIX}{environment}" + (f".r{revision}" if revision is not None else "")


def in_cache(cache: Path, home: str, environ: Mapping[str, str]) -> SpecFolder:
    """The kernelspecs of a home that need no server: `JUPYTER_PATH=<cache>` finds them."""
    return SpecFolder(path=cache / "kernels", home=absolute(home), variables=variables(environ))


def absolute(home: str) -> str:
    """A home as it can be named from any folder."""
    return home if "://" in home else str(Path(home).absolute())


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """What decides where a home has its cache, and has to be the same where its kernels are launched."""
    return {name: environ[name] for name in ("ENVPANEL_CACHE",) if environ.get(name)}


def wanted(environments: Iterable[Environment]) -> list[Spec]:
    """Custom environments from their first revision on, until they are deleted; and bases that are built here."""
    return [
        Spec(environment=item.name, group=item.group)
        for item in environments
        if item.state is not State.ARCHIVED and (item.kind is Kind.CUSTOM or item.state is State.READY)
    ]


async def follow(folder: SpecFolder, environments: Environments, *names: str) -> None:
    """Bring the kernelspecs of these environments up to date, where the folder can be written.

    They are a convenience: a change that was made is not undone because its kernelspec could not be written.
    """
    for name in names:
        record = await asyncio.to_thread(environments.show, name)
        custom = record.kind is Kind.CUSTOM
        with contextlib.suppress(OSError):
            if not record.archived and (custom or await environments.prefix(record) is not None):
                folder.write(Spec(environment=name, group=record.group))
            else:
                folder.remove(spec_name(name))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _holds(path: Path, content: dict[str, Any]) -> bool:
    """Whether this is there, or a colleague's that does the same: each would write the Python of their own."""
    there = _read(path)
    if there == content:
        return True
    try:
        python = there["argv"][0]
        same = {**there, "argv": [content["argv"][0], *there["argv"][1:]]} == content
        return same and path.stat().st_uid != os.getuid() and os.access(python, os.X_OK)
    except (KeyError, IndexError, TypeError, OSError):
        return False


def _replace(path: Path, data: bytes) -> None:
    """A reader sees the old or the new; readable for whoever may see the folder."""
    temp = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        temp.write_bytes(data)
        temp.chmod(stat.S_IMODE(path.parent.stat().st_mode) & 0o666 | 0o600)
        temp.replace(path)
    finally:
        temp.unlink(missing_ok=True)
