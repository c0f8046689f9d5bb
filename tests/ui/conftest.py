"""A real JupyterLab on a project of the home-made index, looked at with a real browser.

pytest-jupyter's fixtures that run for every test close an event loop that Playwright keeps running: they are shadowed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab import BROWSER_ARGUMENTS, Lab, change, open_lab, quiet_settings
from live_server import LiveServer
from playwright.sync_api import Browser, Error, sync_playwright
from project import Project
from wheelhouse import Distribution, Wheelhouse, slow_build

PACKAGES = (
    Distribution(name="alpha", version="1.0", summary="The first letter"),
    Distribution(name="alpha", version="2.0", summary="The first letter, anew"),
    Distribution(name="beta", version="1.0", requires=("alpha",)),
    Distribution(name="gamma", version="0.5", requires=("delta",), summary="<b onclick=hit()>bold</b>"),
    Distribution(name="delta", version="3.1"),
    Distribution(name="sleepy", version="1.0", sdist_only=True, build_script=slow_build(120)),
    Distribution(name="picky", version="1.0", requires=("alpha<1.5",)),
)


@pytest.fixture
def jp_asyncio_loop() -> None: ...


@pytest.fixture
def jp_server_cleanup() -> None: ...


# Not for the whole session: its event loop would be in the way of the server's own tests in the same process.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = os.environ.get("ENVPANEL_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=found, args=BROWSER_ARGUMENTS)
        except Error as error:
            pytest.fail(
                "There is no browser to test the panel in. Install one (`playwright install chromium`, or the "
                f"system's package `chromium`), or name one in ENVPANEL_CHROMIUM. {error.message.splitlines()[0]}",
                pytrace=False,
            )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def go_on(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package `patient` is built once there is this file."""
    return tmp_path_factory.mktemp("gate") / "go-on"


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory, go_on: Path) -> Wheelhouse:
    wait = f"import os, time\nwhile not os.path.exists({str(go_on)!r}):\n    time.sleep(0.05)\n"
    patient = Distribution(name="patient", version="1.0", sdist_only=True, build_script=wait)
    return Wheelhouse(tmp_path_factory.mktemp("house")).add(*PACKAGES, patient).write()


@pytest.fixture(scope="session")
def project(house: Wheelhouse, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two authors, a base, and an environment with four revisions."""
    folder = tmp_path_factory.mktemp("ui") / "project"
    folder.mkdir()
    project = Project(folder, house)
    base = ("--group", "feature-engineering", "--base", "--no-kernel", "--description", "Letters, for all")
    project.env["JUPYTERHUB_USER"] = "ana"
    project.ok("create", "our-base", *base, "alpha<2")
    project.ok("clone", "our-base", "churn", "--description", "Churn, team A")
    project.ok("install", "churn", "gamma", "-m", "for the scores")
    project.env["JUPYTERHUB_USER"] = "ben"
    project.ok("install", "churn", "alpha>=2", "beta", "-m", "newer letters")
    project.ok("uninstall", "churn", "gamma", "-m", "nobody needs it")
    return project


@pytest.fixture(scope="session")
def server(project: Project) -> Iterator[LiveServer]:
    private = project.folder.parent / "private"
    quiet_settings(private)
    server = LiveServer(
        project.folder,
        private,
        {key: value for key, value in project.variables.items() if key != "JUPYTERHUB_USER"},
        app="jupyterlab",
        options=("--LabApp.expose_app_in_browser=True",),
    )
    yield server
    server.stop()


@pytest.fixture
def visit(browser: Browser, server: LiveServer, request: pytest.FixtureRequest) -> Iterator[Callable[[], Lab]]:
    """Opens the panel in a new window; whatever a page logs as an error fails the test."""
    opened: list[Lab] = []

    def visit() -> Lab:
        opened.append(open_lab(browser, server))
        return opened[-1]

    yield visit
    for lab in opened:
        lab.page.context.close()
    if folder := os.environ.get("ENVPANEL_UI_LOGS"):
        Path(folder, f"{request.node.name}.log").write_text(server.log.read_text())
    assert [error for lab in opened for error in lab.errors] == []


@pytest.fixture
def clone(server: LiveServer) -> Callable[[str], str]:
    """Makes an environment for one test, with the packages of churn, and gives its name."""

    def clone(name: str) -> str:
        change(server, name, {"operation": "clone", "source": "churn", "revision": 4, "description": f"For {name}"})
        return name

    return clone


@pytest.fixture
def lab(visit: Callable[[], Lab]) -> Lab:
    return visit()
