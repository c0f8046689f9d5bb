"""Which envpanel a kernel asks: that of its server, else the command line of the Python that has started it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from envpanel.notebook.client import Client, EnvPanelError
from envpanel.notebook.over_cli import CliClient
from envpanel.notebook.over_rest import RestClient, Server

_SECRETS = ("ENVPANEL_SERVER_URL", "ENVPANEL_TOKEN")

_QUICK = 3.0
"""Seconds for the answer of a server that may be another's, or gone."""


@dataclass(frozen=True)
class Own:
    """The revision that this kernel runs."""

    environment: str
    revision: int


@dataclass(frozen=True)
class Login:
    """What the server has given to this kernel, to be asked with."""

    address: str
    token: str

    def __repr__(self) -> str:
        # A kernel shows values; this one is nobody's to see.
        return f"Login({self.address!r})"


_taken: list[Login] = []


def take(environ: MutableMapping[str, str]) -> None:
    """Keep the login here, and nowhere else: `%env` prints variables into notebooks, and children inherit them."""
    if all(environ.get(name) for name in _SECRETS):
        _taken[:] = [Login(*(environ.pop(name) for name in _SECRETS))]


def own(environ: MutableMapping[str, str]) -> Own | None:
    """The revision of this kernel; None in one that envpanel has not started."""
    # Another Python may be started from a kernel, with the variables of that one.
    if environ.get("ENVPANEL_PREFIX") != sys.prefix:
        return None
    try:
        return Own(environ["ENVPANEL_ENVIRONMENT"], int(environ["ENVPANEL_REVISION"]))
    except (KeyError, ValueError):
        return None


def client(environ: MutableMapping[str, str], connection_file: str | None) -> Client:
    """What this kernel asks.

    Raises:
        EnvPanelError: there is none that it could ask.
    """
    if _taken:
        login = _taken[0]
        return RestClient(Server(login.address, f"envpanel-kernel {login.token}"))
    python = environ.get("ENVPANEL_PYTHON")
    if own(environ) is not None and python:
        return CliClient(python, environ.get("ENVPANEL_HOME"), environ)
    if connection_file:
        server = _server_of(environ, Path(connection_file))
        if server is not None:
            return RestClient(server)
    if _is_installed_here():
        return CliClient(sys.executable, environ.get("ENVPANEL_HOME"), environ)
    raise EnvPanelError(
        "This kernel has no envpanel to ask: it was not started from one of its environments, and its Jupyter server "
        "has no envpanel.",
        hint="Start a kernel of an environment (envpanel kernelspec list), or install envpanel where Jupyter runs.",
        code="unreachable",
    )


def _is_installed_here() -> bool:
    # Beside this very file: in a kernel of an environment there is the notebook side alone.
    return Path(__file__).parents[1].joinpath("cli.py").is_file()


def _server_of(environ: MutableMapping[str, str], connection_file: Path) -> Server | None:
    """The server that runs this very kernel and has envpanel, found by the files that servers leave."""
    kernel_id = connection_file.stem
    if kernel_id.startswith("kernel-"):
        kernel_id = kernel_id[len("kernel-") :]
    for told in _servers(environ, connection_file.parent):
        address = str(told.get("url", ""))
        authorization = f"token {told['token']}" if told.get("token") else None
        server = Server(address, authorization)
        try:
            code, text = server.ask("GET", "api/kernels", patience=_QUICK)
            if code == 200 and kernel_id in [item["id"] for item in json.loads(text)]:
                code, _ = server.ask("GET", "envpanel", patience=_QUICK)
                return server if code == 200 else None
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return None


def _servers(environ: MutableMapping[str, str], beside: Path) -> Iterator[dict[str, object]]:
    folders = [beside]
    if environ.get("JUPYTER_RUNTIME_DIR"):
        folders.append(Path(environ["JUPYTER_RUNTIME_DIR"]))
    folders += [Path.home() / ".local/share/jupyter/runtime", Path.home() / "Library/Jupyter/runtime"]
    for folder in dict.fromkeys(folders):
        for path in sorted(folder.glob("jpserver-*.json")):
            # Written by any program of this user, and left behind by killed ones.
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                told = json.loads(path.read_bytes())
                os.kill(int(told["pid"]), 0)
                yield told
