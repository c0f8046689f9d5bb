"""Kernels without a server: nbclient, papermill and whoever reads kernelspecs start environments by name."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from real_project import Lab, Running, eventually

from envpanel.prefixes import leases

# One worker: the environments are built once.
pytestmark = pytest.mark.xdist_group("kernels")

REVISION = "import os; print(os.environ['ENVPANEL_REVISION'])"
COWSAY = "import cowsay; print(cowsay.__name__)"


def _notebook(path: Path, *cells: str) -> Path:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    return path


def _printed(path: Path) -> list[str]:
    cells = nbformat.read(path, as_version=4).cells
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in cells]


def test_nbclient_runs_a_notebook_in_an_environment_without_a_server(lab: Lab, tmp_path: Path) -> None:
    notebook = _notebook(tmp_path / "a.ipynb", REVISION, COWSAY)
    argv = ["-m", "jupyter", "execute", "--inplace", "--kernel_name=envpanel.lab", str(notebook)]
    answer = lab.python(*argv, JUPYTER_PATH=str(lab.cache))
    assert answer.returncode == 0, answer.stderr
    assert _printed(notebook) == ["2\n", "cowsay\n"]


def test_papermill_runs_a_notebook_in_an_environment_without_a_server(lab: Lab, tmp_path: Path) -> None:
    notebook = _notebook(tmp_path / "a.ipynb", REVISION)
    out = tmp_path / "out.ipynb"
    argv = ["-m", "papermill", "-k", "envpanel.lab", str(notebook), str(out)]
    answer = lab.python(*argv, JUPYTER_PATH=str(lab.cache))
    assert answer.returncode == 0, answer.stderr
    assert "2\n" in _printed(out)


def test_a_pinned_kernelspec_stays_with_its_revision(lab: Lab, tmp_path: Path) -> None:
    prefix = tmp_path / "jupyter"
    made = lab.ok("kernelspec", "install", "lab@1", "--prefix", str(prefix))
    assert made["path"] == str(prefix / "share" / "jupyter" / "kernels" / "envpanel.lab.r1")
    notebook = _notebook(tmp_path / "a.ipynb", REVISION)
    argv = ["-m", "jupyter", "execute", "--inplace", "--kernel_name=envpanel.lab.r1", str(notebook)]
    answer = lab.python(*argv, JUPYTER_PATH=str(prefix / "share" / "jupyter"))
    assert answer.returncode == 0, answer.stderr
    assert _printed(notebook) == ["1\n"]


def test_a_moved_head_leaves_running_kernels_alone_and_counts_from_the_next_start(lab: Lab) -> None:
    name = lab.clone("moving")

    async def story() -> None:
        manager = AsyncKernelManager(kernel_name=f"envpanel.{name}", kernel_spec_manager=lab.specs(provisioner=False))
        await manager.start_kernel()
        kernel = Running(manager)
        try:
            assert await kernel.revision() == 1
            await asyncio.to_thread(lab.move_on, name)
            assert await kernel.revision() == 1
            assert "No module named 'cowsay'" in await kernel.ask("__import__('cowsay')")
            await manager.restart_kernel()
            assert await kernel.revision() == 2
            assert "cowsay" in await kernel.ask("__import__('cowsay').__name__")
        finally:
            await manager.shutdown_kernel(now=True)

    asyncio.run(story())


def test_a_missing_prefix_is_built_when_a_kernel_starts(lab: Lab) -> None:
    name = lab.unbuilt("unbuilt")
    assert lab.execute(f"envpanel.{name}", [REVISION]) == ["2\n"]
    assert lab.path(name).is_dir()


def _launch(lab: Lab, *arguments: str, home: str | None = None) -> subprocess.CompletedProcess[str]:
    return lab.python("-P", "-m", "envpanel.kernels.launch", "--home", home or lab.home, *arguments, "-f", "none.json")


def test_what_cannot_be_started_is_one_sentence_and_exit_code_1(lab: Lab, tmp_path: Path) -> None:
    name = lab.clone("deleted")
    lab.ok("delete", name)
    for target, sentence in [
        ("bare", "bare@1 has no ipykernel"),
        ("bare@1", "bare@1 has no ipykernel"),
        ("lba", "There is no environment 'lba'"),
        ("lab@9", "lab has no revision 9"),
        (name, f"{name} was deleted"),
    ]:
        answer = _launch(lab, target)
        assert answer.returncode == 1, target
        (line,) = answer.stderr.splitlines()
        assert line.startswith(f"envpanel: {sentence}"), line
    gone = tmp_path / "gone" / ".envpanel"
    assert "is gone" in _launch(lab, "lab", home=str(gone)).stderr
    assert not gone.exists(), "a home that is gone is not made again"


def test_a_kernel_that_cannot_be_started_is_told_as_one_that_died(lab: Lab) -> None:
    """And not one that hangs in "connecting"."""

    async def story() -> None:
        manager = AsyncKernelManager(kernel_name="envpanel.bare", kernel_spec_manager=lab.specs(provisioner=False))
        await manager.start_kernel()
        try:
            with pytest.raises(RuntimeError, match="died"):
                await Running(manager).ready()
        finally:
            await manager.shutdown_kernel(now=True)

    asyncio.run(story())


def test_the_folder_of_the_notebook_is_not_on_the_path_of_the_launcher(lab: Lab) -> None:
    for module in ("json", "click", "envpanel"):
        (lab.folder / f"{module}.py").write_text("raise SystemExit('the wrong one')\n")
    try:
        answer = _launch(lab, "bare")
        assert "bare@1 has no ipykernel" in answer.stderr
    finally:
        for module in ("json", "click", "envpanel"):
            (lab.folder / f"{module}.py").unlink()


def test_a_kernel_keeps_the_prefix_and_is_told_until_it_ends_however(lab: Lab) -> None:
    async def story() -> None:
        manager = AsyncKernelManager(kernel_name="envpanel.lab", kernel_spec_manager=lab.specs(provisioner=False))
        await manager.start_kernel()
        try:
            kernel = Running(manager)
            await kernel.ready()
            pid = int(await kernel.ask("__import__('os').getpid()"))
            (told,) = [item for item in lab.kernels if item.pid == pid]
            ready = lab.cache / told.ready
            assert (told.environment, told.revision) == ("lab", 2)
            assert str(ready.parent) == str(lab.path("lab").parent)
            assert leases.is_held(ready)
            os.kill(pid, signal.SIGKILL)
            await eventually(lambda: not leases.is_held(ready))
            assert pid not in [item.pid for item in lab.kernels]
        finally:
            await manager.shutdown_kernel(now=True)

    asyncio.run(story())


def test_a_kernel_knows_where_it_is(lab: Lab) -> None:
    code = (
        "import sys, os, json; print(json.dumps([sys.prefix, sys.executable, os.environ['VIRTUAL_ENV'], "
        "os.environ['PATH'].split(':')[:2], sys.path, 'PYTHONPATH' in os.environ]))"
    )
    prefix = str(lab.path("lab"))
    for provisioner in (False, True):
        (shown,) = lab.execute("envpanel.lab", [code], provisioner=provisioner)
        inside, python, virtual_env, path, modules, python_path = json.loads(shown)
        assert (inside, python, virtual_env) == (prefix, f"{prefix}/bin/python", prefix)
        assert re.fullmatch(rf"{lab.cache}/shims/\w+", path[0])
        assert path[1] == f"{prefix}/bin"
        assert re.fullmatch(rf"{lab.cache}/notebook/\w+", modules[-1])
        assert modules[-2].endswith("site-packages")
        assert not python_path


def test_progress_of_a_build_is_on_standard_error(lab: Lab) -> None:
    """As this process would not end by itself, it is ended in the kernel that it has become."""
    name = lab.unbuilt("slow")
    argv = [sys.executable, "-P", "-m", "envpanel.kernels.launch", "--home", lab.home, name, "-f", "slow.json"]
    process = subprocess.Popen(argv, cwd=lab.folder, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("envpanel: installing"), line
    finally:
        process.kill()
        process.communicate()
