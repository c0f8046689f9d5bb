"""A project with real kernels, and what watches them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from envpanel.home import open_environments
from envpanel.kernels.kernel import Kernel, Kernels
from envpanel.kernels.specs import Spec, SpecFolder
from envpanel.model.nouns import Group
from envpanel.prefixes.prefix import remove_tree
from envpanel.service import Environments


@dataclass(frozen=True)
class Lab:
    """The project. `lab` has ipykernel, and cowsay from its second revision on; `bare` has no ipykernel."""

    folder: Path

    @property
    def home(self) -> str:
        return str(self.folder / ".envpanel")

    @property
    def cache(self) -> Path:
        return self.folder / ".envpanel" / "cache"

    @property
    def environments(self) -> Environments:
        return open_environments(self.home, os.environ)

    @property
    def kernels(self) -> list[Kernel]:
        """Those that run."""
        return Kernels(self.environments.ledger.store, self.cache).list()

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """A command of the real command line."""
        return self.python("-m", "envpanel", *arguments, **variables)

    def python(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """A program of the Python that has envpanel, in the folder of the project."""
        environ = {**os.environ, **variables}
        argv = [sys.executable, *arguments]
        return subprocess.run(argv, cwd=self.folder, env=environ, capture_output=True, text=True, timeout=280)

    def ok(self, *arguments: str) -> Any:
        """What a command that has to work prints, by `--json`."""
        answer = self.run(*arguments, "--json")
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    def clone(self, name: str, source: str = "lab@1") -> str:
        """An environment of one's own, of what is built: nothing is built or copied."""
        self.ok("clone", source, name)
        return name

    def move_on(self, name: str) -> None:
        """A second revision of a clone of lab, which is built already, too."""
        self.ok("install", name, "cowsay")

    def unbuilt(self, name: str) -> str:
        """An environment whose prefix is missing here."""
        self.clone(name, "lab@2")
        self.ok("install", name, "six")
        remove_tree(self.path(name).parent)
        return name

    def path(self, target: str) -> Path:
        """Where it is built."""
        return Path(self.ok("path", target)["path"])

    @property
    def server_folder(self) -> SpecFolder:
        """The kernelspecs of a server with the extension."""
        return SpecFolder(path=self.folder / "server" / "kernels", home=self.home, provisioner=True)

    def server_spec(self, name: str, revision: int | None = None) -> str:
        """The name of a kernelspec that is made there."""
        spec = Spec(environment=name, group=Group.MODEL_TRAINING, revision=revision)
        self.server_folder.write(spec)
        return spec.name

    def specs(self, *, provisioner: bool) -> KernelSpecManager:
        """What a Jupyter finds: with `provisioner` the one whose server has the extension."""
        path = self.server_folder.path if provisioner else self.cache / "kernels"
        return KernelSpecManager(kernel_dirs=[str(path)], ensure_native_kernel=False)

    def execute(self, kernel: str, cells: Sequence[str], *, provisioner: bool = False) -> list[str]:
        """What each cell of a notebook prints, in a new kernel."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        if provisioner:
            self.server_spec(kernel.removeprefix("envpanel."))
        manager = AsyncKernelManager(kernel_name=kernel, kernel_spec_manager=self.specs(provisioner=provisioner))

        async def execute() -> None:
            client = NotebookClient(notebook, km=manager, timeout=60, allow_errors=True)
            try:
                await client.async_execute(cwd=str(self.folder))
            finally:
                if manager.has_kernel:
                    await manager.shutdown_kernel(now=True)

        asyncio.run(execute())
        return [_text(cell.outputs) for cell in notebook.cells]


def _text(outputs: Sequence[Any]) -> str:
    shown = []
    for output in outputs:
        if output.output_type == "stream":
            shown.append(output.text)
        elif output.output_type == "error":
            shown.append(f"{output.ename}: {output.evalue}")
        else:
            shown.append(output.data["text/plain"])
    return "".join(shown)


@dataclass
class Running:
    """A kernel under a manager, as a server or an application has it."""

    manager: AsyncKernelManager

    async def ask(self, code: str) -> str:
        """What an expression is in the kernel."""
        client = self.manager.client()
        client.start_channels()
        try:
            await client.wait_for_ready(timeout=60)
            reply = await client.execute_interactive("", user_expressions={"it": code}, timeout=60, silent=True)
            answer = reply["content"]["user_expressions"]["it"]
            return str(answer["data"]["text/plain"] if answer["status"] == "ok" else answer["evalue"])
        finally:
            client.stop_channels()

    async def revision(self) -> int:
        """That which it runs, as it knows itself."""
        return int((await self.ask("__import__('os').environ['ENVPANEL_REVISION']")).strip("'"))

    async def ready(self) -> None:
        """Wait until it answers."""
        await self.ask("1")


async def eventually(condition: Any, seconds: float = 20) -> None:
    """Wait until a condition holds."""
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come about in time")
