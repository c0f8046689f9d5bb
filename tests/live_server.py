"""A Jupyter server in a process of its own, as `jupyter lab` starts it; to be killed, restarted and looked at."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class LiveServer:
    """A server whose root is `root`; everything of Jupyter's own is kept in `private`."""

    def __init__(
        self,
        root: Path,
        private: Path,
        env: Mapping[str, str],
        *,
        app: str = "jupyter_server",
        options: tuple[str, ...] = (),
    ) -> None:
        self.root = root
        self.token = secrets.token_hex(8)
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.log = private / "server.log"
        folders = {
            name: str(private / name.lower())
            for name in (
                "JUPYTER_CONFIG_DIR",
                "JUPYTER_DATA_DIR",
                "JUPYTER_RUNTIME_DIR",
                "IPYTHONDIR",
                "JUPYTERLAB_SETTINGS_DIR",
                "JUPYTERLAB_WORKSPACES_DIR",
            )
        }
        private.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", app, "--no-browser", f"--port={self.port}", "--ServerApp.port_retries=0"]
        argv += [f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={root}", *options]
        if os.getuid() == 0:
            argv.append("--allow-root")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                argv, env={**env, **folders}, cwd=root, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of a route below the server's address."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("Authorization", f"token {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text, code = answer.read(), answer.status
        except urllib.error.HTTPError as error:
            text, code = error.read(), error.code
        return code, json.loads(text) if text else None

    def stop(self) -> None:
        """As a service manager stops it."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(30)

    def kill(self) -> None:
        """As an operating system without memory stops it."""
        self.process.kill()
        self.process.wait(30)

    def _answers(self) -> bool:
        try:
            return self.ask("GET", "api/status")[0] == 200
        except OSError:
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
