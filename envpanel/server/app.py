"""The extension: reads the configuration of the server, and puts the parts into it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_runtime_dir
from jupyter_server.extension.application import ExtensionApp
from traitlets import Unicode

from envpanel import home
from envpanel.errors import EnvPanelError
from envpanel.kernels.provisioner import register
from envpanel.model.nouns import Author
from envpanel.server.handlers import ROUTES, UnknownHandler
from envpanel.server.kernelspecs import ServerKernelspecs
from envpanel.server.launches import KernelLogins, ServerLaunches, address_of
from envpanel.server.openapi import OpenApiHandler
from envpanel.server.project import Project
from envpanel.server.rest import author_of
from envpanel.service import Environments

_EVENTS = Path(__file__).with_name("events")
_SCHEMA = "https://envpanel.readthedocs.io/events/{}/v1"


class EnvPanel(ExtensionApp):
    """envpanel in a Jupyter server."""

    name = "envpanel"
    load_other_extensions = True
    description = "Shared Python environments with a history."

    home = Unicode(
        "",
        help="""The project's home: a folder, or an address such as s3://bucket/prefix. Where it is empty,
        ENVPANEL_HOME counts, else the nearest .envpanel from the server's root_dir upwards, else one is made in
        root_dir with the first change.""",
    ).tag(config=True)

    _following: asyncio.Task[None] | None = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._unregister: list[Callable[[], None]] = []
        self._logins = KernelLogins()

    def initialize_settings(self) -> None:
        """Make the project, which opens its home with the first request."""
        assert self.serverapp is not None
        logger = self.serverapp.event_logger
        assert logger is not None
        for path in sorted(_EVENTS.glob("*.yaml")):
            if _SCHEMA.format(path.stem) not in logger.schemas.schema_ids:
                logger.register_event_schema(path)

        def emit(event: str, values: dict[str, Any]) -> None:
            logger.emit(schema_id=_SCHEMA.format(event), data=values)

        self.project = Project(self._locate, os.environ, emit=emit, opened=self._opened, log=self.log)
        self.settings["envpanel_project"] = self.project
        self.settings["envpanel_kernel_logins"] = self._logins
        private = Path(jupyter_runtime_dir()) / f"envpanel-{secrets.token_hex(4)}"
        self.kernelspecs = ServerKernelspecs(self.project, private / "kernels", os.environ)
        self.kernelspecs.offer_to(self.serverapp.kernel_spec_manager)

    def initialize_handlers(self) -> None:
        """Put the routes below envpanel/."""
        routes = [*ROUTES, ("openapi.json", OpenApiHandler)]
        self.handlers.extend((rf"/envpanel{'/' if route else '/?'}{route}", handler) for route, handler in routes)
        self.handlers.append((r"/envpanel/.*", UnknownHandler))

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        """Jupyter's hook for when the event loop runs."""
        await super()._start_jupyter_server_extension(serverapp)  # type: ignore[no-untyped-call]
        # Kernels are in the launcher before anybody has looked at the panel. What is wrong is told to who asks.
        with contextlib.suppress(EnvPanelError):
            await self.project.environments()

    async def stop_extension(self) -> None:
        """End what runs."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
        for unregister in self._unregister:
            unregister()
        self._logins.clear()
        await self.project.close()
        self.kernelspecs.remove()

    def _opened(self, environments: Environments) -> None:
        launches = ServerLaunches(
            self.project,
            environments,
            self._author_of,
            logins=self._logins,
            address=lambda: address_of(self.serverapp),
        )
        self._unregister.append(register(self.project.where, launches))
        self._following = asyncio.create_task(self.kernelspecs.run())

    def _author_of(self, handler: Any) -> Author:
        return author_of(handler, self.project.author)

    def _locate(self) -> str:
        assert self.serverapp is not None
        chosen = self.home or os.environ.get("ENVPANEL_HOME")
        if chosen:
            return str(chosen)
        return str(home.locate(Path(self.serverapp.root_dir).expanduser().absolute()))
