"""A real Jupyter server with the extension, on a project of its own and the home-made index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytest_jupyter.jupyter_server import *  # noqa: F403
from server_api import Api
from wheelhouse import Distribution, Wheelhouse, slow_build

PACKAGES = (
    Distribution(name="alpha", version="1.0", modules={"alpha.py": "V = 1\n"}),
    Distribution(name="alpha", version="2.0", modules={"alpha.py": "V = 2\n"}),
    Distribution(name="beta", version="1.0", requires=("alpha",), modules={"beta.py": "V = 1\n"}),
)


STARTED = "slow-build-started"
"""In the folder of the house: `pid child_pid` of a build of the package `slow`, which sleeps."""


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    folder = tmp_path_factory.mktemp("house")
    build = slow_build(120, started=folder / STARTED)
    slow = Distribution(name="slow", version="1.0", sdist_only=True, build_script=build)
    return Wheelhouse(folder).add(*PACKAGES, slow).write()


@pytest.fixture
def started(house: Wheelhouse) -> Path:
    path = house.root / STARTED
    path.unlink(missing_ok=True)
    return path


@pytest.fixture
def environ(house: Wheelhouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENVPANEL_HOME", "JUPYTERHUB_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ENVPANEL_CACHE", str(tmp_path / "user-cache"))
    monkeypatch.setenv("UV_DEFAULT_INDEX", house.url)


@pytest.fixture
def jp_server_config(environ: None) -> dict[str, Any]:
    return {
        "ServerApp": {
            "jpserver_extensions": {"envpanel": True},
            # A handler that forgets to ask for a login shows at once.
            "allow_unauthenticated_access": False,
        }
    }


@pytest.fixture
def api(jp_fetch: Any) -> Api:
    return Api(jp_fetch)
