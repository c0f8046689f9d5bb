"""What happens on a home is told to whoever listens, whoever did it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from project import Project
from server_api import CHANGES, Api, create, install
from wheelhouse import Wheelhouse


@contextlib.asynccontextmanager
async def listening(jp_ws_fetch: Any) -> AsyncIterator[asyncio.Queue[dict[str, Any]]]:
    """The events of envpanel, as the browser gets them."""
    socket = await jp_ws_fetch("api", "events", "subscribe")
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def read() -> None:
        while (text := await socket.read_message()) is not None:
            event = json.loads(text)
            if "envpanel" in event["schema_id"]:
                queue.put_nowait({**event, "name": event["schema_id"].split("/")[-2]})

    task = asyncio.create_task(read())
    try:
        yield queue
    finally:
        socket.close()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def first(queue: asyncio.Queue[dict[str, Any]], name: str, seconds: float, **wanted: Any) -> dict[str, Any]:
    async with asyncio.timeout(seconds):
        while True:
            event = await queue.get()
            if event["name"] == name and all(event[key] == value for key, value in wanted.items()):
                return event


async def test_a_change_here_is_told_step_by_step_and_at_its_end(api: Api, jp_ws_fetch: Any) -> None:
    async with listening(jp_ws_fetch) as queue:
        await api.change("churn", create("alpha"))
        progress = await first(queue, "build-progressed", 5, operation="create")
        assert progress["environment"] == "churn"
        changed = await first(queue, "environment-changed", 5)
        assert (changed["environment"], changed["revision"], changed["operation"]) == ("churn", 1, "create")
        await first(queue, "build-progressed", 5, state="succeeded")


async def test_a_failure_is_told(api: Api, jp_ws_fetch: Any) -> None:
    await api.change("churn", create("alpha"))
    async with listening(jp_ws_fetch) as queue:
        await api.ask("POST", CHANGES, install("no-such-package"))
        await first(queue, "build-progressed", 10, state="failed", operation="install")


async def test_what_the_command_line_does_shows_within_two_seconds(
    api: Api, jp_ws_fetch: Any, jp_root_dir: Path, house: Wheelhouse
) -> None:
    await api.change("churn", create("alpha"))
    project = Project(jp_root_dir, house)
    async with listening(jp_ws_fetch) as queue:
        await asyncio.to_thread(project.ok, "install", "churn", "beta")
        done = time.monotonic()
        await first(queue, "environment-changed", 10, revision=2)
        assert time.monotonic() - done < 2
        listed = {item["name"]: item for item in (await api.get("environments"))["environments"]}
        assert listed["churn"]["head"] == 2
        await asyncio.to_thread(project.ok, "clone", "churn", "copy")
        await first(queue, "environment-changed", 10, environment="copy")
        assert "copy" in {item["name"] for item in (await api.get("environments"))["environments"]}
