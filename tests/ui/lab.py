"""The panel in a browser window, and what one does with it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from live_server import LiveServer
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect

BROWSER_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]

AXE = Path(__file__).parents[2] / "labextension" / "node_modules" / "axe-core" / "axe.min.js"

_TIMEOUT = 15_000
_IGNORED = ("favicon", "Failed to load resource", "Failed to fetch", "WebSocket connection", "net::ERR")
"""What Jupyter itself says of a connection that is gone for a moment."""


HOSTILE = '<img src=x onerror="window.hit=1"> <a href="javascript:alert(1)">here</a>'
"""What nobody should write into a description, and somebody will."""


class Lab:
    """A window with JupyterLab, and the panel in its sidebar."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self._error(str(error)))
        page.on("console", self._console)
        self.panel = page.locator("#envpanel")

    def start(self, url: str) -> None:
        self.page.goto(url)
        self._wait()

    def restart(self) -> None:
        """As the reload button of the browser does."""
        self.page.reload()
        self._wait()

    def _wait(self) -> None:
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")
        self.page.wait_for_selector(".jp-Launcher")
        self.run("envpanel:open")
        self.panel.locator(".jp-envpanel-row").first.wait_for()

    def run(self, command: str) -> None:
        """Run a command and go on: what it returns may never be there."""
        self.page.wait_for_function("(id) => window.jupyterapp?.commands.hasCommand(id)", arg=command)
        self.page.evaluate("(id) => { void window.jupyterapp.commands.execute(id); }", command)

    def row(self, name: str) -> Locator:
        return self.panel.locator(f'li.jp-envpanel-row[data-name="{name}"]')

    def open(self, name: str, tab: str | None = None) -> None:
        self.row(name).locator(".jp-envpanel-row-main").click()
        expect(self.panel.locator(".jp-envpanel-about-name")).to_contain_text(name)
        if tab:
            self.tab(tab)

    def tab(self, title: str) -> None:
        self.panel.get_by_role("tab", name=title).click()

    def back(self) -> None:
        self.panel.locator(".jp-envpanel-back").click()

    def button(self, name: str) -> Locator:
        return self.panel.get_by_role("button", name=name, exact=True)

    def revision(self, number: int) -> Locator:
        return self.panel.locator(f'.jp-envpanel-revision:has([data-revision="{number}"])')

    def has_revision(self, number: int) -> None:
        """The history shows it; its title is there, not only its place."""
        expect(self.revision(number).locator(".jp-envpanel-revision-title")).to_be_visible()

    def toast(self, text: str) -> Locator:
        return self.page.locator(".Toastify__toast", has_text=text).first

    def width(self, pixels: int) -> None:
        self.page.evaluate(
            """(wanted) => {
              const split = window.jupyterapp.shell._hsplitPanel;
              const all = split.node.clientWidth;
              split.setRelativeSizes([wanted, all - wanted, 0]);
            }""",
            pixels,
        )

    def theme(self, name: str) -> None:
        self.page.evaluate(
            "(theme) => { void window.jupyterapp.commands.execute('apputils:change-theme', { theme }); }", name
        )
        light = "false" if "Dark" in name else "true"
        self.page.wait_for_function("(light) => document.body.dataset.jpThemeLight === light", arg=light)
        self.page.wait_for_timeout(300)

    def picture(self, name: str, *, width: int = 300, dark: bool = True) -> None:
        """Keep pictures of the panel, light and dark, where the documents want them, if somebody asked for that."""
        if folder := os.environ.get("ENVPANEL_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.width(width)
            if dark:
                self.theme("JupyterLab Dark")
                self.panel.screenshot(path=Path(folder, f"{name}-dark.png"))
                self.theme("JupyterLab Light")
            self.panel.screenshot(path=Path(folder, f"{name}.png"))

    def serious(self) -> list[str]:
        """What axe finds wrong with the panel for those who do not see it, or use no mouse: serious or critical."""
        assert AXE.exists(), f"{AXE} is missing: run `npm ci` in labextension/."
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("() => axe.run('#envpanel', { resultTypes: ['violations'] })")
        return [
            f"{each['id']}: {node['html']} {node.get('failureSummary', '')}"
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._error(message.text)

    def _error(self, text: str) -> None:
        if not any(each in text for each in _IGNORED):
            self.errors.append(text)


def open_lab(browser: Browser, server: LiveServer) -> Lab:
    """A new window, of somebody else as far as the browser knows."""
    context = browser.new_context(viewport={"width": 1200, "height": 860}, reduced_motion="reduce", locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(_TIMEOUT)
    expect.set_options(timeout=_TIMEOUT)
    lab = Lab(page)
    lab.start(f"{server.url}lab?token={server.token}&reset")
    return lab


def quiet_settings(private: Path) -> None:
    """No question about news of Jupyter in the corner where toasts are."""
    folder = private / "jupyterlab_settings_dir" / "@jupyterlab" / "apputils-extension"
    folder.mkdir(parents=True)
    (folder / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')


def change(server: LiveServer, name: str, intent: dict[str, Any]) -> None:
    """Change an environment as another client of the server does, and wait for it."""
    status, answer = server.ask("POST", f"envpanel/environments/{name}/changes", {"change": intent})
    assert status in (200, 201, 202), answer
    while status == 202:
        _, build = server.ask("GET", f"envpanel/builds/{answer['id']}")
        if build["state"] != "running":
            assert build["state"] == "succeeded", build
            return
        time.sleep(0.1)
