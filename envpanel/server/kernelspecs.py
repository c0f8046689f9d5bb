"""The kernelspecs of a server: in launcher and picker as soon as an environment exists, beside all others."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envpanel.errors import EnvPanelError
from envpanel.kernels.specs import SpecFolder, absolute, in_cache, variables, wanted
from envpanel.server.project import Project


class ServerKernelspecs:
    """Keeps a folder of kernelspecs as the project is; the folder is this server's own, and goes with it."""

    def __init__(self, project: Project, folder: Path, environ: Mapping[str, str]) -> None:
        self._project = project
        self._environ = environ
        self._specs = SpecFolder(
            path=folder, home=absolute(project.where), provisioner=True, variables=variables(environ)
        )

    def offer_to(self, manager: Any) -> None:
        """Have the server's manager of kernelspecs, whichever is configured, look here first."""
        if hasattr(manager, "kernel_dirs"):
            manager.kernel_dirs = [str(self._specs.path), *manager.kernel_dirs]

    async def run(self) -> None:
        """Follow the project until cancelled."""
        while True:
            self._project.moved.clear()
            # Who cannot write there, or not read the home just now, has the kernels of before.
            with contextlib.suppress(OSError, EnvPanelError):
                specs = wanted(await self._project.overview())
                await asyncio.to_thread(self._specs.synchronise, specs)
                # For those without a server; what pins a revision there is somebody's own.
                environments = await self._project.environments()
                headless = in_cache(environments.cache, self._project.where, self._environ)
                await asyncio.to_thread(headless.synchronise, specs)
            await self._project.moved.wait()

    def remove(self) -> None:
        """Take the folder away."""
        shutil.rmtree(self._specs.path.parent, ignore_errors=True)
