"""The builds of this server: changes, previews and other long work, each a task that can be watched and cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from envpanel.engines.interface import Log, Report
from envpanel.errors import Cancelled, EnvPanelError, NotFound
from envpanel.model.nouns import Author, Progress

_KEPT = 200
"""So many builds that have ended are kept, the newest ones."""

_LINES = 2000
"""So many lines of a log are kept here; all of it is with the revision or the attempt."""

_STEP = 0.25
"""Seconds between two notices of a build's progress."""


class BuildState(StrEnum):
    """How a build is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a build ended badly: the code and the sentence of the error, what to do, and values for programs."""

    code: str
    message: str
    hint: str | None = None
    details: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Build:
    """A build as it is told: `created` and `ended` are UTC, `elapsed` is in seconds.

    `log` is the end of what resolver and installer have said, of `lines` lines altogether. `result` is what the verb
    gave: an outcome, a preview, a verification; None before the end.
    """

    id: str
    environment: str | None
    operation: str
    preview: bool
    author: Author
    state: BuildState
    progress: Progress
    created: str
    ended: str | None
    elapsed: float
    lines: int
    log: tuple[str, ...] = ()
    failure: Failure | None = None
    result: Any = None


class _Running:
    """A build on its way."""

    def __init__(self, told: Build) -> None:
        self.told = told
        self.lines: deque[str] = deque(maxlen=_LINES)
        self.count = 0
        self.started = time.monotonic()
        self.noticed = 0.0
        self.error: EnvPanelError | None = None
        self.begun = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def now(self, lines: int) -> Build:
        told = self.told
        elapsed = told.elapsed if told.state is not BuildState.RUNNING else time.monotonic() - self.started
        end = tuple(self.lines)[-lines:] if lines else ()
        return replace(told, elapsed=round(elapsed, 3), lines=self.count, log=end)


class Running:
    """The builds of a server. `notice` is told of each step, at most four times a second, and of each end.

    All of it runs in the event loop; `failed` is told of errors that nobody expected.
    """

    def __init__(self, notice: Callable[[Build], None], failed: Callable[[BaseException], None]) -> None:
        self._notice = notice
        self._failed = failed
        self._builds: dict[str, _Running] = {}

    def start(
        self,
        work: Callable[[Report, Log], Awaitable[Any]],
        *,
        environment: str | None,
        operation: str,
        author: Author,
        preview: bool = False,
    ) -> str:
        """Begin; the id of the build."""
        told = Build(
            id=secrets.token_hex(8),
            environment=environment,
            operation=operation,
            preview=preview,
            author=author,
            state=BuildState.RUNNING,
            progress=Progress(phase="starting"),
            created=_now(),
            ended=None,
            elapsed=0.0,
            lines=0,
        )
        build = self._builds[told.id] = _Running(told)
        build.task = asyncio.create_task(self._run(build, work))
        self._forget()
        return told.id

    def get(self, build_id: str, *, lines: int = 200) -> Build:
        """A build as it is now, with so many lines of its log.

        Raises:
            NotFound: there is none of this id, or none any more.
        """
        return self._find(build_id).now(lines)

    def list(self) -> list[Build]:
        """All that are known, the newest first, without their logs."""
        return [build.now(0) for build in reversed(self._builds.values())]

    async def begun(self, build_id: str, seconds: float) -> Build:
        """The build once it has ended, or has come past the first checks and said so, or after so many seconds.

        Raises:
            EnvPanelError: what it ended with.
        """
        build = self._find(build_id)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(build.begun.wait(), seconds)
        if build.error is not None:
            raise build.error
        return build.now(0)

    async def result(self, build_id: str) -> Any:
        """What the build gives, waited for; who waits may be cancelled, and the build goes on.

        Raises:
            EnvPanelError: what it ended with.
        """
        build = self._find(build_id)
        assert build.task is not None
        await asyncio.wait([build.task])
        if build.error is not None:
            raise build.error
        return build.told.result

    async def cancel(self, build_id: str) -> Build:
        """End it with all programs it has started; how it is then. One that has ended stays as it is.

        Raises:
            NotFound: there is none of this id.
        """
        build = self._find(build_id)
        if build.task is not None and not build.task.done():
            build.task.cancel()
            await asyncio.wait([build.task])
        return build.now(0)

    async def close(self) -> None:
        """End all of them."""
        tasks = [build.task for build in self._builds.values() if build.task is not None and not build.task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, build: _Running, work: Callable[[Report, Log], Awaitable[Any]]) -> None:
        def report(progress: Progress) -> None:
            build.told = replace(build.told, progress=progress)
            build.begun.set()
            if time.monotonic() - build.noticed >= _STEP:
                build.noticed = time.monotonic()
                self._notice(build.now(0))

        def log(line: str) -> None:
            build.lines.append(line)
            build.count += 1

        try:
            result = await work(report, log)
            self._end(build, BuildState.SUCCEEDED, result=result)
        except asyncio.CancelledError:
            self._fail(build, BuildState.CANCELLED, Cancelled("It was cancelled."))
        except EnvPanelError as error:
            self._fail(build, BuildState.FAILED, error)
        except Exception as error:
            self._failed(error)
            unexpected = EnvPanelError("Something went wrong in envpanel itself; the log of the server tells what.")
            self._fail(build, BuildState.FAILED, unexpected)

    def _fail(self, build: _Running, state: BuildState, error: EnvPanelError) -> None:
        build.error = error
        self._end(build, state, failure=failure(error))

    def _end(self, build: _Running, state: BuildState, **more: Any) -> None:
        elapsed = time.monotonic() - build.started
        build.told = replace(build.told, state=state, ended=_now(), elapsed=elapsed, **more)
        build.begun.set()
        self._notice(build.now(0))

    def _find(self, build_id: str) -> _Running:
        if build_id not in self._builds:
            raise NotFound(f"This server has no build {build_id[:80]!r}; it ended long ago, or with an earlier server.")
        return self._builds[build_id]

    def _forget(self) -> None:
        ended = [key for key, build in self._builds.items() if build.told.state is not BuildState.RUNNING]
        for key in ended[: max(len(ended) - _KEPT, 0)]:
            del self._builds[key]


def failure(error: EnvPanelError) -> Failure:
    """An error as it is told."""
    return Failure(code=error.code, message=error.message, hint=error.hint, details=error.details or None)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
