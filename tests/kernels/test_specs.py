"""Kernelspecs are there exactly for what can be started, and say how."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fake_engine import FakeEngine
from jupyter_client.kernelspec import KernelSpecManager
from writers import environments, signature

from envpanel.bases.bundle import Bundle
from envpanel.history.store import FolderStore
from envpanel.kernels import specs
from envpanel.kernels.specs import Spec, SpecFolder
from envpanel.model.change import Archive, Unarchive
from envpanel.model.nouns import Group, Kind, State
from envpanel.prefixes.prefix import remove_tree
from envpanel.service import Environments

CHURN = Spec(environment="churn", group=Group.FEATURE_ENGINEERING)
PINNED = Spec(environment="churn", group=Group.FEATURE_ENGINEERING, revision=3)


@pytest.fixture
def folder(tmp_path: Path) -> SpecFolder:
    return SpecFolder(path=tmp_path / "kernels", home="/home/ana/project/.envpanel")


def _content(folder: SpecFolder, spec: Spec = CHURN) -> dict[str, object]:
    content = json.loads((folder.path / spec.name / "kernel.json").read_text())
    assert isinstance(content, dict)
    return content


def test_jupyter_reads_what_is_written(folder: SpecFolder) -> None:
    folder.write(CHURN)
    folder.write(PINNED)
    found = KernelSpecManager(kernel_dirs=[str(folder.path)], ensure_native_kernel=False).get_all_specs()
    assert {name: item["spec"]["display_name"] for name, item in found.items()} == {
        "envpanel.churn": "churn · FEATURE ENGINEERING",
        "envpanel.churn.r3": "churn r3 · FEATURE ENGINEERING",
    }
    launch = [sys.executable, "-P", "-m", "envpanel.kernels.launch", "--home", folder.home]
    assert found["envpanel.churn"]["spec"]["argv"] == [*launch, "churn", "-f", "{connection_file}"]
    assert found["envpanel.churn.r3"]["spec"]["argv"] == [*launch, "churn@3", "-f", "{connection_file}"]
    spec = found["envpanel.churn"]["spec"]
    assert (spec["language"], spec["interrupt_mode"]) == ("python", "signal")
    assert spec["metadata"] == {
        "debugger": True,
        "envpanel": {
            "home": folder.home,
            "environment": "churn",
            "group": "feature-engineering",
            "revision": None,
        },
    }


def test_each_has_its_icons(folder: SpecFolder) -> None:
    folder.write(CHURN)
    assert (folder.path / CHURN.name / "logo-svg.svg").read_text().startswith("<svg")
    png = (folder.path / CHURN.name / "logo-64x64.png").read_bytes()
    assert (png[:8], png[16:24]) == (b"\x89PNG\r\n\x1a\n", (64).to_bytes(4) * 2)


def test_only_those_of_a_server_name_the_provisioner(folder: SpecFolder, tmp_path: Path) -> None:
    """No Jupyter without envpanel could start these."""
    folder.write(CHURN)
    assert "kernel_provisioner" not in str(_content(folder))
    server = SpecFolder(path=tmp_path / "server", home=folder.home, provisioner=True)
    server.write(PINNED)
    assert KernelSpecManager(kernel_dirs=[str(server.path)]).get_kernel_spec(PINNED.name).metadata[
        "kernel_provisioner"
    ] == {
        "provisioner_name": "envpanel-provisioner",
        "config": {"home": folder.home, "environment": "churn", "pinned": 3},
    }


def test_a_kernelspec_is_written_only_when_it_is_different(folder: SpecFolder) -> None:
    assert folder.write(CHURN)
    before = {path: path.stat().st_ino for path in folder.path.rglob("*")}
    assert not folder.write(CHURN)
    assert {path: path.stat().st_ino for path in folder.path.rglob("*")} == before
    moved = Spec(environment="churn", group=Group.MODEL_TRAINING)
    assert folder.write(moved)
    assert _content(folder)["display_name"] == "churn · MODEL TRAINING"


def test_one_that_cannot_be_read_is_written_again(folder: SpecFolder) -> None:
    folder.write(CHURN)
    (folder.path / CHURN.name / "kernel.json").write_text("{")
    assert folder.write(CHURN)
    assert _content(folder)["language"] == "python"


def test_a_synchronised_folder_has_exactly_these_and_what_is_not_ours(folder: SpecFolder) -> None:
    for name in ("python3", "envpanel.of-somebody-else"):
        (folder.path / name).mkdir(parents=True)
        (folder.path / name / "kernel.json").write_text('{"argv": [], "metadata": {}}')
    folder.write(PINNED)
    other = Spec(environment="other", group=Group.MODEL_INFERENCE)
    assert folder.synchronise([CHURN, other])
    assert folder.names() == ["envpanel.churn", "envpanel.of-somebody-else", "envpanel.other"]
    assert not folder.synchronise([CHURN, other])
    assert folder.synchronise([])
    assert sorted(path.name for path in folder.path.iterdir()) == ["envpanel.of-somebody-else", "python3"]


def test_an_absent_folder_is_made_with_the_first_kernelspec(folder: SpecFolder) -> None:
    assert folder.names() == []
    assert not folder.synchronise([])
    assert not folder.path.exists()
    assert folder.synchronise([CHURN])


def test_they_are_for_whoever_may_see_the_cache(folder: SpecFolder) -> None:
    folder.path.parent.chmod(0o2770)
    before = os.umask(0o077)
    try:
        folder.write(CHURN)
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder.path / CHURN.name).stat().st_mode) == 0o2770
    assert stat.S_IMODE((folder.path / CHURN.name / "kernel.json").stat().st_mode) == 0o660


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_colleagues_kernelspec_that_works_here_too_is_left_alone(folder: SpecFolder, tmp_path: Path) -> None:
    """Each member's envpanel would write its own Python, in turn."""
    theirs = SpecFolder(path=folder.path, home=folder.home, python="/bin/sh")
    theirs.write(CHURN)
    kernel = folder.path / CHURN.name / "kernel.json"
    os.chown(kernel, 65534, 65534)
    assert not folder.write(CHURN)
    assert folder.write(Spec(environment="churn", group=Group.MODEL_TRAINING)), "it says something else"
    SpecFolder(path=folder.path, home=folder.home, python="/nonexistent/python").write(CHURN)
    os.chown(kernel, 65534, 65534)
    assert folder.write(CHURN), "theirs cannot be started here"


def test_variables_are_handed_to_the_launcher_as_they_are(tmp_path: Path) -> None:
    variables = specs.variables({"ENVPANEL_CACHE": "/data/$USER/cache", "HOME": "/home/ana"})
    folder = SpecFolder(path=tmp_path, home="s3://bucket/prefix", variables=variables)
    folder.write(CHURN)
    # jupyter_client puts variables in for $NAME, and takes $$ for a dollar.
    assert _content(folder)["env"] == {"ENVPANEL_CACHE": "/data/$$USER/cache"}


def test_a_home_is_named_so_that_it_is_found_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert specs.absolute(".envpanel") == str(tmp_path / ".envpanel")
    assert specs.absolute("s3://bucket/prefix") == "s3://bucket/prefix"


@pytest.fixture
def service(tmp_path: Path) -> Environments:
    (tmp_path / "bases").mkdir()
    engine = FakeEngine({"alpha": {"1.0": []}})
    return environments(FolderStore(tmp_path / "home"), tmp_path / "cache", engine, Bundle(tmp_path / "bases"))


def _made(service: Environments, kind: Kind) -> None:
    change = service.creating(("alpha",), group=Group.FEATURE_ENGINEERING, kernel=False, kind=kind)
    asyncio.run(service.change("churn", change, by=signature()))


def test_there_is_one_for_each_custom_environment_and_for_bases_that_are_built(service: Environments) -> None:
    _made(service, Kind.CUSTOM)
    any_one = asyncio.run(service.environment("churn"))
    found = [replace(any_one, name=f"{kind}-{state}", kind=kind, state=state) for kind in Kind for state in State]
    assert {spec.name for spec in specs.wanted(found)} == {
        "envpanel.base-ready",
        "envpanel.custom-ready",
        "envpanel.custom-not-built",
        "envpanel.custom-building",
        "envpanel.custom-damaged",
    }


def test_they_follow_create_delete_and_unarchive(service: Environments, folder: SpecFolder) -> None:
    _made(service, Kind.CUSTOM)
    for change, there in [(None, True), (Archive(), False), (Unarchive(), True)]:
        if change is not None:
            asyncio.run(service.change("churn", change, by=signature()))
        asyncio.run(specs.follow(folder, service, "churn"))
        assert (folder.names() == ["envpanel.churn"]) is there


def test_a_base_has_one_while_it_is_built(service: Environments, folder: SpecFolder, tmp_path: Path) -> None:
    _made(service, Kind.BASE)
    asyncio.run(specs.follow(folder, service, "churn"))
    assert folder.names() == ["envpanel.churn"]
    remove_tree(tmp_path / "cache" / "prefixes")
    asyncio.run(specs.follow(folder, service, "churn"))
    assert folder.names() == []


def test_following_where_nothing_can_be_written_fails_nothing(service: Environments, tmp_path: Path) -> None:
    _made(service, Kind.CUSTOM)
    (tmp_path / "file").write_text("")
    asyncio.run(specs.follow(SpecFolder(path=tmp_path / "file" / "kernels", home="/h"), service, "churn"))
