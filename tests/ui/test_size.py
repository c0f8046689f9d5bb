"""500 environments and 10,000 revisions: a click is on the screen before anybody waits.

The numbers are told by the routes of the test, so that what is measured is the panel alone.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from lab import Lab
from playwright.sync_api import Route, expect

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("ui")]

LIMIT = float(os.environ.get("ENVPANEL_CLICK_MS", "800"))
"""Milliseconds from a click to what it shows: 100 is the aim, and a quiet machine needs 20 to 70. Test machines are not
quiet."""

ENVIRONMENTS, REVISIONS = 500, 10_000
AUTHOR = {"username": "ana", "name": "Ana", "verified": True}
TIME = "2026-11-01T10:00:00.000Z"
NOTHING: dict[str, Any] = {
    "installed": [], "uninstalled": [], "upgraded": [], "downgraded": [], "changed": [], "python": None
}  # fmt: skip

CLICK = """(element) => new Promise(resolve => {
  const began = performance.now();
  element.click();
  // Two frames: the first draws it, the second comes after that is on the screen.
  requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - began)));
})"""


def _environment(number: int) -> dict[str, Any]:
    group = ("feature-engineering", "model-training", "model-inference")[number * 3 // ENVIRONMENTS]
    return {
        "name": f"environment-{number:03}", "group": group, "kind": "custom", "base": None, "head": REVISIONS,
        "description": f"What team {number} has", "author": AUTHOR, "created": TIME, "python": "3.11",
        "platform": "linux-x86_64", "packages": 300, "content_id": str(number), "state": "ready",
        "record_damaged": False,
    }  # fmt: skip


def _entry(number: int) -> dict[str, Any]:
    many = [{"name": f"package-{each}", "version": "1.0", "requested": each < 5} for each in range(100)]
    return {
        "number": number, "parent": number - 1 or None, "author": AUTHOR, "created": TIME, "operation": "install",
        "message": "because", "diff": {**NOTHING, "installed": many}, "commands": False,
    }  # fmt: skip


def _record(number: int) -> dict[str, Any]:
    packages = [
        {"name": f"package-{each}", "version": "1.0", "manager": "uv", "origin": "index", "requested": each < 40,
         "since": 1} for each in range(300)
    ]  # fmt: skip
    return {
        **_entry(number), "environment": "environment-000", "packages": packages, "duration": 1.0, "via": "lab",
        "arguments": {}, "digests": {"lock": "", "yaml": "", "log": None, "commands": None},
    }  # fmt: skip


def _tell(route: Route) -> None:
    url = urlsplit(route.request.url)
    path = url.path.partition("/envpanel/environments")[2].strip("/")
    query = {key: value[0] for key, value in parse_qs(url.query).items()}
    if path == "":
        found = [_environment(number) for number in range(ENVIRONMENTS)]
        answer: Any = {"environments": found, "next": None, "versions": None}
    elif re.fullmatch(r"[^/]+/revisions", path):
        top = int(query.get("before", REVISIONS + 1)) - 1
        numbers = range(top, max(top - int(query.get("limit", 50)), 0), -1)
        answer = {"revisions": [_entry(number) for number in numbers], "next": None}
    elif re.fullmatch(r"[^/]+/revisions/\d+", path):
        answer = _record(int(path.rpartition("/")[2]))
    elif path.endswith("attempts"):
        answer = {"attempts": []}
    else:
        answer = {"environment": _environment(0), "head": _record(REVISIONS)}
    route.fulfill(json=answer)


def test_a_click_is_on_the_screen_before_anybody_waits(lab: Lab) -> None:
    lab.page.route("**/envpanel/environments**", _tell)
    lab.button("Refresh").click()
    row = lab.row("environment-000").locator("button").first
    row.wait_for()
    took: dict[str, float] = {}
    took["environment"] = row.evaluate(CLICK)
    packages = lab.panel.locator(".jp-envpanel-packages li")
    expect(packages.first).to_be_visible()
    took["dependencies"] = lab.panel.get_by_role("checkbox").evaluate(CLICK)
    expect(packages).to_have_count(300)
    took["history"] = lab.panel.get_by_role("tab", name="History").evaluate(CLICK)
    lab.has_revision(REVISIONS)
    assert lab.panel.locator(".jp-envpanel-revision").count() < 50, "only what is in sight is there"
    took["diff"] = lab.revision(REVISIONS - 2).locator("button").first.evaluate(CLICK)
    expect(lab.revision(REVISIONS - 2)).to_contain_text("95 pulled-in packages")
    lab.panel.locator(".jp-envpanel-virtual").evaluate("element => { element.scrollTop = element.scrollHeight / 2; }")
    expect(lab.panel.locator(".jp-envpanel-revision-title").first).to_be_visible()
    lab.panel.locator(".jp-envpanel-virtual").evaluate("element => { element.scrollTop = element.scrollHeight; }")
    lab.has_revision(1)
    took["list"] = lab.panel.locator(".jp-envpanel-back").evaluate(CLICK)
    expect(lab.panel.locator(".jp-envpanel-row")).to_have_count(ENVIRONMENTS)
    print(json.dumps({name: round(value) for name, value in took.items()}))
    assert {name: value for name, value in took.items() if value > LIMIT} == {}
