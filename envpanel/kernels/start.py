"""What a program needs to run in a revision: its prefix, built and leased, and what to start it with.

The one way into an environment: kernels of a server and without one, and `envpanel run`, start alike.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from envpanel.engines.interface import Log, Report
from envpanel.errors import EnvironmentArchived, Refused
from envpanel.kernels import tools
from envpanel.kernels.tools import Tools
from envpanel.model.nouns import Kind, Progress, Record
from envpanel.model.versions import compare
from envpanel.prefixes import leases
from envpanel.prefixes.distributions import name_and_version
from envpanel.prefixes.prefix import Prefix
from envpanel.service import Environments

# As `python -m ipykernel_launcher`, with the notebook side at the end of sys.path: the environment's own packages come
# first, and in PYTHONPATH it would stand before them and be handed on to every child.
_KERNEL = (
    "import runpy, sys; sys.path.append(sys.argv.pop(1)); "
    "runpy.run_module('ipykernel_launcher', run_name='__main__', alter_sys=True)"
)
_EXTENSION = "--IPKernelApp.extra_extensions=envpanel.notebook"

# Of the environment that envpanel itself runs in; they would lead programs back there.
_HIDDEN = ("PYTHONHOME", "CONDA_PREFIX", "VIRTUAL_ENV_PROMPT")


def _quiet(_: Progress) -> None:
    """Progress that nobody watches."""


def _unread(_: str) -> None:
    """A log that nobody reads."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """A revision that can be started. `lease` is the file descriptor of a shared flock, see `leases.hold`: hand it on
    to what is started, or `close` it."""

    record: Record
    prefix: Prefix
    tools: Tools
    lease: int

    def close(self) -> None:
        """Give the lease back; what it was handed on to keeps it."""
        os.close(self.lease)

    def variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The variables of a program in the environment, made of those around it."""
        path = [str(self.tools.shims), str(self.prefix.bin), environ.get("PATH", os.defpath)]
        return {
            **{name: value for name, value in environ.items() if name not in _HIDDEN},
            "PATH": os.pathsep.join(path),
            "VIRTUAL_ENV": str(self.prefix.path),
            "ENVPANEL_ENVIRONMENT": self.record.environment,
            "ENVPANEL_REVISION": str(self.record.number),
            # To tell it from a virtual environment that is activated later.
            "ENVPANEL_PREFIX": str(self.prefix.path),
        }

    def kernel(self, arguments: Sequence[str]) -> list[str]:
        """The command of a kernel; `arguments` are those of ipykernel, such as `-f FILE`."""
        # By the path of the build directory, which is never another revision's later. A link to the head that moves on
        # mixes two revisions in one process: its Python goes on to import through the link.
        return [str(self.prefix.python), "-c", _KERNEL, str(self.tools.notebook), _EXTENSION, *arguments]

    def replace_process(self, command: Sequence[str], variables: Mapping[str, str]) -> None:
        """Become the program, which keeps the lease.

        Raises:
            OSError: it cannot be started.
        """
        os.set_inheritable(self.lease, True)
        os.execvpe(command[0], list(command), dict(variables))


async def for_kernel(
    environments: Environments,
    name: str,
    number: int | None = None,
    *,
    report: Report = _quiet,
    follow: Log = _unread,
) -> Start:
    """What starts a kernel in a revision, or in the head.

    Raises:
        NotFound: there is no such revision.
        EnvironmentArchived: the environment was deleted, and no revision of it is named.
        Refused: it has no ipykernel.
        EnvPanelError: it could not be built.
    """
    record = await asyncio.to_thread(environments.show, name, number)
    if record.archived and number is None:
        raise EnvironmentArchived(f"{name} was deleted.", hint=f"Take it back first: envpanel unarchive {name}")
    if not any(package.name == "ipykernel" for package in record.packages):
        hint = f"envpanel install {name} ipykernel puts it in."
        if record.kind is Kind.BASE:
            hint = f"It is a base: clone it, and install ipykernel in the clone: envpanel clone {name} my-{name[:60]}"
        raise Refused(f"{record.ref} has no ipykernel, so no kernel can be started in it.", hint=hint)
    return await _start(environments, record, report, follow)


def for_notebook(home: str, python: str) -> dict[str, str]:
    """The variables by which the notebook side finds the command line: the home, and a Python that has envpanel."""
    return {"ENVPANEL_HOME": home, "ENVPANEL_PYTHON": python}


async def for_program(
    environments: Environments,
    name: str,
    number: int | None = None,
    *,
    report: Report = _quiet,
    follow: Log = _unread,
) -> Start:
    """What starts a program in a revision, or in the head.

    Raises:
        NotFound: there is no such revision.
        EnvPanelError: it could not be built.
    """
    record = await asyncio.to_thread(environments.show, name, number)
    return await _start(environments, record, report, follow)


async def _start(environments: Environments, record: Record, report: Report, follow: Log) -> Start:
    while True:
        prefix = await _prefix(environments, record, report, follow)
        try:
            lease = await asyncio.to_thread(leases.hold, prefix)
        except FileNotFoundError:
            # It was removed after we had found it.
            continue
        try:
            # Who may not write the project's cache has one of their own.
            caches = environments.cache, Path(platformdirs.user_cache_path("envpanel"))
            return Start(
                record=record, prefix=prefix, tools=await asyncio.to_thread(tools.install, *caches), lease=lease
            )
        except BaseException:
            os.close(lease)
            raise


async def _prefix(environments: Environments, record: Record, report: Report, follow: Log) -> Prefix:
    """The prefix of a revision, built where it is missing, and anew where root has changed which packages it has."""
    prefix = await environments.prefix(record)
    if prefix is not None and not await asyncio.to_thread(_holds_its_packages, prefix, record):
        report(Progress(phase="repairing", detail=str(record.ref)))
        result = await environments.verify(record.environment, record.number, repair=True, report=report)
        if result.problems:
            # Without an index, or without the right to write. What is there is better than nothing.
            report(Progress(phase="damaged", detail=result.problems[0].message))
        prefix = await environments.prefix(record)
    if prefix is None:
        prefix = await environments.build(record.environment, record.number, report=report, follow=follow)
    return prefix


def _holds_its_packages(prefix: Prefix, record: Record) -> bool:
    """Whether the folders of metadata are those of the revision's packages: one listing, at each start.

    Nobody else can write there, but root may come with an absolute path: `/…/bin/python -m pip install`.
    """
    wanted = {item.name: item.version for item in record.packages}
    found: dict[str, str] = {}
    for site in prefix.path.glob("lib/python3.*/site-packages"):
        for info in site.glob("*.dist-info"):
            name, version = name_and_version(info.name)
            if name in found:
                return False
            found[name] = version.replace("_", "-")
    return found.keys() == wanted.keys() and all(compare(found[name], wanted[name]) == 0 for name in wanted)
