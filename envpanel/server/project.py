"""The project of a server: its home, opened at the first use, and what this server does for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from envpanel import home
from envpanel.authors import os_author
from envpanel.engines.interface import Log, Report
from envpanel.errors import EnvPanelError
from envpanel.model.nouns import Author, Record
from envpanel.server.running import Build, Running
from envpanel.server.watch import Watch
from envpanel.service import Environment, Environments, Outcome

_STATES = 5.0
"""Seconds after which the states of environments are looked at again: others build on this machine, too."""

Event = Callable[[str, dict[str, Any]], None]
"""Tells listeners: the name of the event, and its values."""


Work = Callable[[Environments, Report, Log], Awaitable[Any]]
"""What a build does; it may be cancelled."""


class Project:
    """The project at `where`: a folder or an address, as `locate` gives it at the first use. `opened` is told of it."""

    def __init__(
        self,
        locate: Callable[[], str],
        environ: Mapping[str, str],
        *,
        emit: Event,
        opened: Callable[[Environments], None] = lambda _: None,
        log: logging.Logger,
    ) -> None:
        self._locate = locate
        self._environ = environ
        self._emit = emit
        self._opened = opened
        self._log = log
        self._opening = asyncio.Lock()
        self._environments: Environments | None = None
        self._watch: Watch | None = None
        self._watching: asyncio.Task[None] | None = None
        self._listed: dict[str, Environment] = {}
        self._stale: set[str] | None = None
        self._listed_at = 0.0
        self._listing = asyncio.Lock()
        self.moved = asyncio.Event()
        """Set whenever an environment, or what is built of it here, may have become another."""
        self.running = Running(self._progressed, self._unexpected)
        self.author = os_author(environ)

    @property
    def where(self) -> str:
        """The folder or address of the home."""
        return self._locate()

    async def environments(self, *, writing: bool = False) -> Environments:
        """The environments, opened at the first call; with `writing`, in a home that is there from now on.

        Raises:
            InvalidSettings: settings.yaml is wrong; the next call tries again.
            StoreError: the home cannot be read, or not be made.
        """
        if writing:
            await asyncio.to_thread(home.prepare, self.where)
        async with self._opening:
            if self._environments is None:
                where = self.where
                opened = await asyncio.to_thread(home.open_environments, where, self._environ)
                self._environments = opened
                interval = 5.0 if "://" in where else 1.0
                self._watch = Watch(opened, self._changed, interval=interval)
                self._watching = asyncio.create_task(self._watch.run())
                self._opened(opened)
        return self._environments

    async def overview(self) -> list[Environment]:
        """All environments, archived ones too, in the order of lists. Not older than what `Watch` has told."""
        environments = await self.environments()
        async with self._listing:
            if self._stale is None:
                self._stale = set()
                self._listed_at = time.monotonic()
                self._listed = {item.name: item for item in await environments.overview(archived=True)}
            elif time.monotonic() - self._listed_at > _STATES:
                self._listed_at = time.monotonic()
                refreshed = await environments.refreshed(list(self._listed.values()))
                self._listed = {item.name: item for item in refreshed}
            while self._stale:
                name = self._stale.pop()
                known = name in self._listed
                with contextlib.suppress(EnvPanelError):
                    self._listed[name] = await environments.environment(name)
                if not known:
                    # A new one has its place in the order.
                    self._listed = {item.name: item for item in await environments.overview(archived=True)}
            return list(self._listed.values())

    def start(
        self,
        work: Work,
        environments: Environments,
        *,
        environment: str | None,
        operation: str,
        author: Author,
        preview: bool = False,
    ) -> str:
        """Begin a build; its id."""

        async def run(report: Report, log: Log) -> Any:
            if environment is not None:
                self._touch(environment)
            try:
                result = await work(environments, report, log)
            finally:
                if environment is not None:
                    self._touch(environment)
            if isinstance(result, Outcome) and result.changed and self._watch is not None:
                self._watch.seen(result.record)
            return result

        return self.running.start(run, environment=environment, operation=operation, author=author, preview=preview)

    async def close(self) -> None:
        """End what runs here; its attempts are kept as interrupted."""
        if self._environments is not None:
            self._environments.close()
        await self.running.close()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    def _touch(self, name: str) -> None:
        if self._stale is not None:
            self._stale.add(name)
        self.moved.set()

    def _changed(self, record: Record) -> None:
        self._touch(record.environment)
        self._emit(
            "environment-changed",
            {
                "environment": record.environment,
                "revision": record.number,
                "operation": record.operation,
                "author": record.author.name,
                "created": record.created,
                "archived": record.archived,
            },
        )

    def _progressed(self, build: Build) -> None:
        progress = build.progress
        self._emit(
            "build-progressed",
            {
                "id": build.id,
                "environment": build.environment,
                "operation": build.operation,
                "preview": build.preview,
                "state": build.state.value,
                "author": build.author.name,
                "elapsed": build.elapsed,
                "phase": progress.phase,
                "done": progress.done,
                "total": progress.total,
                "unit": progress.unit,
                "detail": progress.detail,
            },
        )

    def _unexpected(self, error: BaseException) -> None:
        self._log.error("envpanel: a build ended with an error that nobody expected", exc_info=error)
