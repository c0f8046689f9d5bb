"""Environments are in launcher and picker while they exist, and say at the click why they cannot be started."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from project import Project
from server_api import CHANGES, Api, create
from tornado.httpclient import HTTPClientError
from wheelhouse import Wheelhouse


async def listed(fetch: Any) -> dict[str, str]:
    """Display name by name, of envpanel's."""
    found = json.loads((await fetch("api", "kernelspecs")).body)["kernelspecs"]
    return {name: item["spec"]["display_name"] for name, item in found.items() if name.startswith("envpanel.")}


async def until(fetch: Any, wanted: Callable[[dict[str, str]], bool], seconds: float = 5) -> dict[str, str]:
    deadline = time.monotonic() + seconds
    while not wanted(found := await listed(fetch)):
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)
    return found


async def test_a_custom_environment_is_there_at_once_and_gone_when_deleted(
    api: Api, jp_fetch: Any, jp_root_dir: Path
) -> None:
    assert await listed(jp_fetch) == {}
    await api.change("churn", create("alpha"))
    found = await until(jp_fetch, bool)
    assert found == {"envpanel.churn": "churn · MODEL TRAINING"}
    headless = jp_root_dir / ".envpanel" / "cache" / "kernels" / "envpanel.churn" / "kernel.json"
    async with asyncio.timeout(5):
        while not headless.exists():
            await asyncio.sleep(0.05)
    await api.ask("POST", CHANGES, {"change": {"operation": "archive"}})
    await until(jp_fetch, lambda found: not found)
    await api.ask("POST", CHANGES, {"change": {"operation": "unarchive"}})
    await until(jp_fetch, bool)


async def test_what_the_command_line_makes_is_there_too(
    api: Api, jp_fetch: Any, jp_root_dir: Path, house: Wheelhouse
) -> None:
    await api.get("environments")
    project = Project(jp_root_dir, house)
    await asyncio.to_thread(project.ok, "create", "fraud", "--group", "model-inference", "alpha", "--no-kernel")
    assert await until(jp_fetch, bool) == {"envpanel.fraud": "fraud · MODEL INFERENCE"}


async def test_each_has_the_logo(api: Api, jp_fetch: Any) -> None:
    await api.change("churn", create("alpha"))
    await until(jp_fetch, bool)
    found = json.loads((await jp_fetch("api", "kernelspecs", "envpanel.churn")).body)
    assert set(found["resources"]) >= {"logo-svg", "logo-64x64"}


async def test_without_ipykernel_a_click_gives_a_sentence_and_no_kernel(api: Api, jp_fetch: Any) -> None:
    await api.change("churn", create("alpha"))
    await until(jp_fetch, bool)
    with pytest.raises(HTTPClientError) as refused:
        await jp_fetch("api", "kernels", method="POST", body=json.dumps({"name": "envpanel.churn"}))
    assert refused.value.code == 409
    assert refused.value.response is not None
    message = json.loads(refused.value.response.body)["message"]
    assert "no ipykernel" in message
    assert "envpanel install churn ipykernel" in message
    assert json.loads((await jp_fetch("api", "kernels")).body) == []
    assert (await api.get("kernels"))["kernels"] == []


class OtherManager(KernelSpecManager):
    """As conda's or a company's: another class, with kernels of its own."""

    def find_kernel_specs(self) -> dict[str, str]:
        return {"other": "/nowhere", **super().find_kernel_specs()}


class TestBesideAnother:
    """Whatever manager of kernelspecs is configured."""

    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any]) -> dict[str, Any]:
        jp_server_config["ServerApp"]["kernel_spec_manager_class"] = OtherManager
        return jp_server_config

    async def test_its_kernels_stay(self, api: Api, jp_serverapp: Any, jp_fetch: Any) -> None:
        await api.change("churn", create("alpha"))
        await until(jp_fetch, bool)
        assert {"other", "envpanel.churn"} <= set(jp_serverapp.kernel_spec_manager.find_kernel_specs())
