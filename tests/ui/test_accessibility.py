"""Whoever sees little, or uses no mouse, gets along: axe finds nothing serious on any page, light or dark."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lab import Lab
from playwright.sync_api import expect

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("ui")]


def _pages(lab: Lab) -> dict[str, Callable[[], None]]:
    def history() -> None:
        lab.open("churn", "History")
        lab.revision(3).locator("button").first.click()
        lab.revision(3).get_by_role("button", name="Compare…").click()
        expect(lab.revision(3).get_by_role("region")).to_be_visible()

    def activity() -> None:
        lab.tab("Activity")
        expect(lab.panel).to_contain_text("Nothing runs, and nothing has failed.")

    def install() -> None:
        lab.button("Install").click()
        lab.panel.get_by_label("Package or specification").fill("alp")
        lab.button("alpha 2.0 installed").click()
        expect(lab.panel.get_by_label("Version of alpha")).to_be_visible()

    def preview() -> None:
        lab.panel.get_by_label("Package or specification").fill("gamma")
        lab.page.keyboard.press("Enter")
        lab.button("Preview").click()
        expect(lab.panel.get_by_label("What would change")).to_be_visible()

    def clone() -> None:
        for _ in range(3):
            lab.back()
        lab.button("New environment").click()
        lab.panel.get_by_label("Name").fill("No")
        expect(lab.panel.locator(".jp-envpanel-invalid")).to_contain_text("lower-case")

    return {
        "list": lambda: None,
        "packages": lambda: lab.open("churn"),
        "history": lambda: (lab.back(), history())[1],
        "activity": activity,
        "install": install,
        "preview": preview,
        "clone": clone,
    }


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"])
def test_axe_finds_nothing_serious(lab: Lab, theme: str) -> None:
    lab.theme(theme)
    found = {}
    for name, go in _pages(lab).items():
        go()
        if serious := lab.serious():
            found[name] = serious
    lab.theme("JupyterLab Light")
    assert found == {}
