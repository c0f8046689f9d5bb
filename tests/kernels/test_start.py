"""The one way into an environment: a revision is built where it is missing, leased, and started beside its tools."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_engine import FakeEngine
from writers import environments, signature

from envpanel.bases.bundle import Bundle
from envpanel.errors import EngineFailed, EnvironmentArchived, NotFound, Refused
from envpanel.history.store import FolderStore
from envpanel.kernels import start
from envpanel.kernels.start import Start
from envpanel.model.change import Archive, Install
from envpanel.model.nouns import Group, Kind, Record
from envpanel.prefixes import leases
from envpanel.prefixes.prefix import Prefix, remove_tree
from envpanel.service import Environments

CATALOGUE = {
    "alpha": {"1.0": [], "2.0": []},
    "beta": {"1.0.post1": []},
    "ipykernel": {"7.0": []},
    "ipywidgets": {"8.0": []},
}


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(CATALOGUE)


@pytest.fixture
def service(tmp_path: Path, engine: FakeEngine) -> Environments:
    (tmp_path / "bases").mkdir()
    return environments(FolderStore(tmp_path / "home"), tmp_path / "cache", engine, Bundle(tmp_path / "bases"))


@pytest.fixture
def started() -> Iterator[list[Start]]:
    """What is to be closed at the end."""
    all_of_them: list[Start] = []
    yield all_of_them
    for each in all_of_them:
        each.close()


def _made(service: Environments, *specs: str, kernel: bool = True, kind: Kind = Kind.CUSTOM) -> Record:
    change = service.creating(specs, group=Group.MODEL_TRAINING, kernel=kernel, kind=kind)
    return asyncio.run(service.change("churn", change, by=signature())).record


def test_the_head_is_started_and_a_number_is_that_revision(service: Environments, started: list[Start]) -> None:
    _made(service, "alpha<2")
    asyncio.run(service.change("churn", Install.of("alpha>=2"), by=signature()))
    for number, expected in [(None, 2), (1, 1)]:
        started.append(asyncio.run(start.for_kernel(service, "churn", number)))
        assert started[-1].record.number == expected
    assert started[0].prefix.path != started[1].prefix.path


def test_a_missing_prefix_is_built(service: Environments, started: list[Start], tmp_path: Path) -> None:
    _made(service)
    remove_tree(tmp_path / "cache" / "prefixes")
    phases: list[str] = []
    started.append(asyncio.run(start.for_kernel(service, "churn", report=lambda it: phases.append(it.phase))))
    assert started[0].prefix.is_whole
    assert "installing" in phases


def test_a_build_that_fails_is_its_sentence(service: Environments, engine: FakeEngine, tmp_path: Path) -> None:
    _made(service)
    remove_tree(tmp_path / "cache" / "prefixes")
    engine.fail_build = "The index is gone."
    with pytest.raises(EngineFailed, match="The index is gone"):
        asyncio.run(start.for_kernel(service, "churn"))


def test_an_environment_without_ipykernel_gets_no_kernel_and_builds_nothing(
    service: Environments, engine: FakeEngine, tmp_path: Path
) -> None:
    _made(service, "alpha", kernel=False)
    remove_tree(tmp_path / "cache" / "prefixes")
    before = len(engine.calls)
    with pytest.raises(Refused, match=r"churn@1 has no ipykernel") as refused:
        asyncio.run(start.for_kernel(service, "churn"))
    assert refused.value.hint == "envpanel install churn ipykernel puts it in."
    assert len(engine.calls) == before


def test_a_base_without_ipykernel_is_to_be_cloned(service: Environments) -> None:
    _made(service, "alpha", kernel=False, kind=Kind.BASE)
    with pytest.raises(Refused) as refused:
        asyncio.run(start.for_kernel(service, "churn"))
    assert "envpanel clone churn my-churn" in str(refused.value.hint)


def test_other_programs_need_no_ipykernel(service: Environments, started: list[Start]) -> None:
    _made(service, "alpha", kernel=False)
    started.append(asyncio.run(start.for_program(service, "churn")))
    assert started[0].record.number == 1


def test_a_deleted_environment_has_no_kernel_unless_a_revision_is_named(
    service: Environments, started: list[Start]
) -> None:
    _made(service)
    asyncio.run(service.change("churn", Archive(), by=signature()))
    with pytest.raises(EnvironmentArchived, match="churn was deleted"):
        asyncio.run(start.for_kernel(service, "churn"))
    started.append(asyncio.run(start.for_kernel(service, "churn", 1)))


def test_what_is_not_there_is_not_found(service: Environments) -> None:
    _made(service)
    for name, number in [("churn", 9), ("chrun", None)]:
        with pytest.raises(NotFound):
            asyncio.run(start.for_kernel(service, name, number))


def test_the_prefix_is_leased_until_it_is_closed_and_children_do_not_get_it(service: Environments) -> None:
    _made(service)
    ready = asyncio.run(start.for_kernel(service, "churn"))
    assert leases.is_held(ready.prefix.ready)
    assert not os.get_inheritable(ready.lease)
    ready.close()
    assert not leases.is_held(ready.prefix.ready)


def test_a_prefix_that_is_removed_before_it_is_leased_is_built_again(
    service: Environments, started: list[Start], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever collects garbage holds READY exclusively and removes it: the launcher waits, and finds it gone."""
    _made(service)
    removed: list[Path] = []
    hold = leases.hold

    def after_a_removal(prefix: Prefix) -> int:
        if not removed:
            removed.append(prefix.path)
            remove_tree(prefix.ready.parent)
        return hold(prefix)

    monkeypatch.setattr(leases, "hold", after_a_removal)
    started.append(asyncio.run(start.for_kernel(service, "churn")))
    assert started[0].prefix.is_whole
    assert started[0].prefix.path != removed[0]


def _infos(prefix: Prefix) -> Path:
    return next(prefix.path.glob("lib/python3.*/site-packages"))


@pytest.mark.parametrize("what", ["another package", "another version", "one less"])
def test_what_root_has_changed_in_a_prefix_is_built_anew_beside_it(
    service: Environments, started: list[Start], what: str
) -> None:
    _made(service, "alpha<2", "beta")
    first = asyncio.run(start.for_kernel(service, "churn"))
    started.append(first)
    site = _infos(first.prefix)
    site.chmod(0o755)
    (site / "alpha-1.0.dist-info").chmod(0o755)
    if what == "another package":
        (site / "gamma-1.0.dist-info").mkdir()
    elif what == "another version":
        (site / "alpha-1.0.dist-info").rename(site / "alpha-1.1.dist-info")
    else:
        remove_tree(site / "alpha-1.0.dist-info")
    phases: list[str] = []
    second = asyncio.run(start.for_kernel(service, "churn", report=lambda it: phases.append(it.phase)))
    started.append(second)
    assert "repairing" in phases
    assert second.prefix.path != first.prefix.path
    assert first.prefix.path.is_dir(), "what runs there keeps it"
    assert {path.name for path in _infos(second.prefix).glob("*.dist-info")} >= {"alpha-1.0.dist-info"}
    third = asyncio.run(start.for_kernel(service, "churn"))
    started.append(third)
    assert third.prefix.path == second.prefix.path


def test_what_cannot_be_repaired_is_started_and_said(
    service: Environments, engine: FakeEngine, started: list[Start]
) -> None:
    _made(service)
    started.append(asyncio.run(start.for_kernel(service, "churn")))
    site = _infos(started[0].prefix)
    site.chmod(0o755)
    (site / "gamma-1.0.dist-info").mkdir()
    engine.fail_build = "The index is gone."
    told: list[str] = []
    started.append(asyncio.run(start.for_kernel(service, "churn", report=lambda it: told.append(str(it)))))
    assert started[1].prefix == started[0].prefix
    assert told[-1].startswith("damaged: What is built of churn@1 here is damaged")


def test_programs_find_the_tools_first_then_the_environment_then_what_was_there(
    service: Environments, started: list[Start]
) -> None:
    _made(service)
    ready = asyncio.run(start.for_program(service, "churn"))
    started.append(ready)
    around = {"PATH": "/usr/bin:/bin", "PYTHONHOME": "/x", "CONDA_PREFIX": "/y", "KEPT": "yes", "PYTHONPATH": "/src"}
    variables = ready.variables(around)
    assert variables == {
        "PATH": f"{ready.tools.shims}:{ready.prefix.bin}:/usr/bin:/bin",
        "VIRTUAL_ENV": str(ready.prefix.path),
        "ENVPANEL_ENVIRONMENT": "churn",
        "ENVPANEL_REVISION": "1",
        "ENVPANEL_PREFIX": str(ready.prefix.path),
        "KEPT": "yes",
        # The user's own, as in any other kernel; envpanel puts nothing in.
        "PYTHONPATH": "/src",
    }


def test_a_kernel_is_named_by_its_build_directory(service: Environments, started: list[Start]) -> None:
    _made(service)
    ready = asyncio.run(start.for_kernel(service, "churn"))
    started.append(ready)
    command = ready.kernel(["-f", "file"])
    assert command[0] == f"{ready.prefix.path}/bin/python"
    assert not any(path.is_symlink() for path in (ready.prefix.path, *ready.prefix.path.parents))
    assert command[-2:] == ["-f", "file"]


def test_the_path_of_a_kernel_is_that_of_ipykernel_with_the_notebook_side_last(
    service: Environments, started: list[Start], tmp_path: Path
) -> None:
    """Whatever stands in the folder of the notebook is not imported before the libraries."""
    _made(service)
    ready = asyncio.run(start.for_kernel(service, "churn"))
    started.append(ready)
    site = _infos(ready.prefix)
    site.chmod(stat.S_IMODE(site.stat().st_mode) | 0o200)
    shown = "import json, sys; print(json.dumps([sys.path, sys.argv[1:], __name__]))"
    (site / "ipykernel_launcher.py").write_text(shown)

    def path(argv: list[str]) -> tuple[list[str], list[str], str]:
        answer = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=tmp_path)
        found = json.loads(answer.stdout)
        return found[0], found[1], found[2]

    plain, _, _ = path([str(ready.prefix.python), "-m", "ipykernel_launcher"])
    ours, arguments, name = path(ready.kernel(["-f", "file"]))
    # `-m` has the folder itself there and `-c` nothing; ipykernel_launcher takes both away.
    assert (plain[0], ours[0]) == (str(tmp_path), "")
    assert ours[1:] == [*plain[1:], str(ready.tools.notebook)]
    assert arguments[-2:] == ["-f", "file"]
    assert name == "__main__"


def test_becoming_a_program_hands_the_lease_on(service: Environments, tmp_path: Path) -> None:
    _made(service)
    ready = asyncio.run(start.for_program(service, "churn"))
    child = os.fork()
    if child == 0:
        try:
            ready.replace_process([sys.executable, "-c", "import time; time.sleep(60)"], ready.variables(os.environ))
        finally:
            os._exit(1)
    ready.close()
    assert leases.is_held(ready.prefix.ready)
    os.kill(child, 9)
    os.waitpid(child, 0)
    assert not leases.is_held(ready.prefix.ready)


def test_who_removes_waits_for_nobody_who_starts(service: Environments, started: list[Start]) -> None:
    """The lease is shared: an exclusive lock, as garbage collection takes it, fails at once."""
    _made(service)
    started.append(asyncio.run(start.for_kernel(service, "churn")))
    descriptor = os.open(started[0].prefix.ready, os.O_RDONLY)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)
