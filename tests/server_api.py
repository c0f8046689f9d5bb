"""The routes of the extension, asked as a browser with a login asks them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tornado.httpclient import HTTPClientError

CHANGES = "environments/churn/changes"


@dataclass
class Reply:
    """An answer: its status, its headers and its JSON."""

    code: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Api:
    """The routes, asked as a browser with a login asks them."""

    def __init__(self, fetch: Callable[..., Awaitable[Any]]) -> None:
        self._fetch = fetch

    async def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Reply:
        data = None if body is None and method != "POST" else json.dumps(body if body is not None else {})
        try:
            answer = await self._fetch("envpanel", *path.split("/"), method=method, body=data, params=query)
        except HTTPClientError as error:
            assert error.response is not None
            answer = error.response
        return Reply(answer.code, answer.headers, answer.body)

    async def get(self, path: str, **query: Any) -> Any:
        reply = await self.ask("GET", path, **query)
        assert reply.code == 200, reply.body
        return reply.json

    async def change(self, name: str, body: Any, **query: Any) -> Any:
        """The result of a change or preview, waited for."""
        reply = await self.ask("POST", f"environments/{name}/changes", body, **query)
        assert reply.code in (200, 201, 202), reply.body
        return reply.json if reply.code != 202 else (await self.ended(reply))["result"]

    async def ended(self, reply: Reply, *, state: str = "succeeded") -> Any:
        """The build of an answer, once it has ended so."""
        assert reply.code == 202, reply.body
        path = reply.headers["Location"].partition("/envpanel/")[2]
        while True:
            build = await self.get(path)
            if build["state"] != "running":
                assert build["state"] == state, build
                return build
            await asyncio.sleep(0.05)


def create(*requirements: str, **more: Any) -> dict[str, Any]:
    """The body that makes an environment."""
    change = {"operation": "create", "group": "model-training", "requirements": list(requirements), "kernel": False}
    return {"change": change | more, "message": "why"}


def install(*requirements: str) -> dict[str, Any]:
    """The body that installs packages."""
    return {"change": {"operation": "install", "requirements": list(requirements)}}
