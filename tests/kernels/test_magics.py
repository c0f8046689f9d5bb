"""`%envhistory` and its family in real kernels, without a server: through the command line."""

from __future__ import annotations

import asyncio
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from real_project import Lab, Running

pytestmark = pytest.mark.xdist_group("kernels")


def test_looking(lab: Lab) -> None:
    name = lab.clone("looked-at", "lab@2")
    status, history, diff, listed, packages, yaml, log = lab.execute(
        f"envpanel.{name}",
        ["%envstatus", "%envhistory", "%envdiff lab 1 2", "%envlist", "%envpackages", "%envyaml", "%envlog lab 2"],
    )
    assert status.splitlines()[0] == f"{name} r1"
    assert "It is on the newest packages." in status
    assert "clone" in history
    assert history.splitlines()[-1] == "This kernel runs r1."
    assert diff.splitlines() == ["lab@1 → lab@2", "installed", "  + cowsay  6.1"]
    assert "MODEL TRAINING" in listed
    assert "python-feature-pipeline" in listed
    assert packages.splitlines()[0] == f"{name}@1"
    assert "ipykernel" in packages
    assert yaml.startswith(f"name: {name}\n")
    assert "cowsay" in log


def test_values_are_data_without_pandas_too(lab: Lab) -> None:
    found = lab.execute(
        "envpanel.lab",
        [
            "rows = %envhistory\nprint([(row['revision'], row['changes']) for row in rows][0])",
            "rows = %envhistory lab --df\nprint(type(rows).__name__, rows[0]['packages'])",
            "text = %envyaml 1\nprint('cowsay' in text)",
            "diff = %envdiff 1 2\nprint(diff['installed'][0]['name'], diff['old'])",
        ],
    )
    numbers, frame, text, diff = found
    assert numbers == "(2, '+1')\n"
    # The sentence goes to standard error, which has no order with the rest.
    assert "There is no pandas in this environment; this is a list of dicts.\n" in frame
    assert "list ['+ cowsay 6.1']\n" in frame
    assert (text, diff) == ("False\n", "cowsay lab@1\n")


def test_changing(lab: Lab) -> None:
    name = lab.clone("magic")
    preview, installed, again, behind, restored, uninstalled, cloned, why = lab.execute(
        f"envpanel.{name}",
        [
            "%envinstall cowsay --dry-run",
            "%envinstall cowsay -m 'because of <cows>'",
            "%envinstall cowsay",
            "%envstatus",
            "%envrestore r1",
            "%envuninstall pip",
            f"%envclone {name}@2 {name}-too",
            "%envhistory --package cowsay",
        ],
    )
    assert "  + cowsay  6.1" in preview
    assert "Nothing was changed." in preview
    assert f"{name}@2 installed (+1)" in installed
    assert "This kernel still runs r1: restart it to use r2." in installed
    assert f"Nothing to change: {name}@2 is just that already." in again
    assert "There is a newer revision: restart the kernel to use r2" in behind
    assert f"{name}@3 restored (−1)" in restored
    assert f"{name}@4 uninstalled (−1)" in uninstalled
    assert f"{name}-too@1 made" in cloned
    assert "because of <cows>" in why
    assert [entry["number"] for entry in lab.ok("history", name)] == [4, 3, 2, 1]


def test_what_goes_wrong_is_a_block_and_the_notebook_stops(lab: Lab) -> None:
    name = lab.clone("wrong")
    found = lab.execute(
        f"envpanel.{name}",
        [
            "%envinstall nosuchthing-xyz",
            "%envhistory nosuch",
            "%envdiff 1 9",
            "%envinstall",
            "%envhistory --nosuch",
            "%envrestore three",
            "%envinstall 'x",
            "%envdiff a@b",
            "%envhistory --attempts",
        ],
    )
    for printed in found[:-1]:
        assert printed.partition("EnvPanelError: ")[2].strip().endswith("."), printed
        assert "Traceback" not in printed
    assert "nosuchthing-xyz was not found" in found[0]
    assert "failed" in found[-1]


def outputs(lab: Lab, kernel: str, cell: str) -> list[Any]:
    """What one cell leaves in a notebook."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    manager = AsyncKernelManager(kernel_name=kernel, kernel_spec_manager=lab.specs(provisioner=False))

    async def execute() -> None:
        try:
            await NotebookClient(notebook, km=manager, timeout=60, allow_errors=True).async_execute(cwd=str(lab.folder))
        finally:
            if manager.has_kernel:
                await manager.shutdown_kernel(now=True)

    asyncio.run(execute())
    return list(notebook.cells[0].outputs)


def test_in_a_notebook_it_is_html_and_what_others_have_typed_is_text_in_it(lab: Lab) -> None:
    name = lab.clone("hostile")
    lab.ok("install", name, "cowsay", "-m", "<img src=x onerror=alert(1)>")
    [shown] = outputs(lab, f"envpanel.{name}", "%envhistory")
    assert "<table>" in shown.data["text/html"]
    assert "<img" not in shown.data["text/html"]
    assert "&lt;img src=x onerror=alert(1)&gt;" in shown.data["text/html"]
    assert "<img src=x onerror=alert(1)>" in shown.data["text/plain"]


def test_a_change_shows_how_far_it_is_and_an_error_is_a_sentence(lab: Lab) -> None:
    name = lab.clone("shown")
    progress, result = outputs(lab, f"envpanel.{name}", "%envinstall six")
    assert progress.output_type == "display_data"
    assert progress.data["text/plain"].startswith("done in")
    assert result.output_type == "execute_result"
    *_, failed = outputs(lab, f"envpanel.{name}", "%envinstall nosuchthing-xyz")
    assert failed.output_type == "error"
    assert failed.traceback[0].startswith("Error: No set of packages meets all requirements")


@pytest.mark.parametrize("magic", ["history", "diff", "list", "status", "packages", "clone", "install", "uninstall",
                                   "upgrade", "restore", "yaml", "log", "panel"])  # fmt: skip
def test_each_has_help(magic: str) -> None:
    from envpanel.notebook.magics import MAGICS

    text = MAGICS[f"env{magic}"].parser.format_help()
    assert f"%env{magic}" in text
    assert "examples:" in text


async def completions(lab: Lab, kernel: str, *typed: str) -> list[list[str]]:
    manager = AsyncKernelManager(kernel_name=kernel, kernel_spec_manager=lab.specs(provisioner=False))
    await manager.start_kernel(cwd=str(lab.folder))
    try:
        await Running(manager).ready()
        client = manager.client()
        client.start_channels()
        found = []
        try:
            for text in typed:
                reply = await client.complete(text, reply=True, timeout=30)
                found.append(reply["content"]["matches"])
        finally:
            client.stop_channels()
        return found
    finally:
        await manager.shutdown_kernel(now=True)


def test_completion(lab: Lab) -> None:
    name = lab.clone("completed")
    found = asyncio.run(
        completions(
            lab,
            f"envpanel.{name}",
            "%envhistory comp",
            "%envhistory --pack",
            "df = %envhistory compl",
            "%envdiff lab ",
            "%envuninstall cows",
            "%envuninstall ipyk",
            "%envuninstall --env comp",
            "%envinstall -m ",
            "%envhist",
        )
    )
    assert found[0] == [name]
    assert found[1] == ["--package"]
    assert name in found[2]
    assert {"1", "2"} <= set(found[3])
    assert found[4] == []
    assert found[5] == ["ipykernel"]
    assert found[6] == [name]
    assert "%envhistory" in found[8]
