"""Who works in a project sees which kernels run, on which revision, and how far behind; no ended one on this host."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fake_engine import FakeEngine
from writers import environments, signature

from envpanel.bases.bundle import Bundle
from envpanel.errors import NotFound
from envpanel.history.store import FolderStore
from envpanel.kernels import start
from envpanel.kernels.kernel import Kernel, Kernels, behind, started
from envpanel.model.change import Describe, Install
from envpanel.model.nouns import Author, Group
from envpanel.prefixes.prefix import remove_tree
from envpanel.service import Environments

ANA = Author(username="ana", name="Ana", verified=True)
CATALOGUE = {"alpha": {"1.0": [], "2.0": [], "3.0": []}, "ipykernel": {"7.0": []}, "ipywidgets": {"8.0": []}}


@dataclass
class Home:
    """A home with the environment `churn`; `run` starts something that stands for a kernel in it."""

    folder: Path
    service: Environments
    processes: list[subprocess.Popen[bytes]]

    @property
    def kernels(self) -> Kernels:
        return Kernels(self.service.ledger.store, self.service.cache)

    def run(self, kernel_id: str = "1f2e-33", number: int | None = None) -> Kernel:
        ready = asyncio.run(start.for_kernel(self.service, "churn", number))
        sleeping = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=[ready.lease])
        self.processes.append(sleeping)
        ready.close()
        kernel = started(ready, kernel_id, ANA, pid=sleeping.pid)
        self.kernels.put(kernel)
        return kernel

    def kill(self, index: int = 0) -> None:
        self.processes[index].kill()
        self.processes[index].wait()

    def change(self, *specs: str) -> None:
        asyncio.run(self.service.change("churn", Install.of(*specs), by=signature()))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    (tmp_path / "bases").mkdir()
    store = FolderStore(tmp_path / "home")
    service = environments(store, tmp_path / "cache", FakeEngine(CATALOGUE), Bundle(tmp_path / "bases"))
    change = service.creating(("alpha<2",), group=Group.FEATURE_ENGINEERING)
    asyncio.run(service.change("churn", change, by=signature()))
    made = Home(tmp_path / "home", service, [])
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


def test_a_kernel_is_told_with_revision_author_and_start(home: Home) -> None:
    kernel = home.run("0a-1b")
    assert home.kernels.list() == [kernel]
    assert (kernel.id, kernel.environment, kernel.revision, kernel.author) == ("0a-1b", "churn", 1, ANA)
    assert kernel.content_id == home.service.show("churn").content_id
    assert kernel.started.endswith("Z")
    (path,) = (home.folder / "live" / "leases").iterdir()
    assert path.name == f"{kernel.host}-0a-1b.json"


def test_the_oldest_comes_first(home: Home) -> None:
    told = [home.run(name) for name in ("b", "a")]
    assert home.kernels.list() == told


def test_one_that_was_shut_down_is_gone(home: Home) -> None:
    kernel = home.run()
    home.kernels.drop(kernel)
    home.kernels.drop(kernel)
    assert home.kernels.list() == []


def test_one_that_was_killed_is_dropped_by_who_reads(home: Home) -> None:
    home.run()
    home.kill()
    assert home.kernels.list() == []
    assert list((home.folder / "live" / "leases").iterdir()) == []


def test_one_that_was_killed_is_dropped_though_another_runs_in_the_same_prefix(home: Home) -> None:
    home.run("a")
    other = home.run("b")
    home.kill(0)
    assert home.kernels.list() == [other]


def test_a_zombie_has_ended(home: Home) -> None:
    """Its server may be slow to notice."""
    home.run("a")
    other = home.run("b")
    os.kill(home.processes[0].pid, 9)
    os.waitid(os.P_PID, home.processes[0].pid, os.WEXITED | os.WNOWAIT)
    assert home.kernels.list() == [other]


def test_a_later_process_of_the_same_number_is_not_the_kernel(home: Home) -> None:
    kernel = home.run("a")
    namespace, _, tick = kernel.born.partition(":")
    home.kernels.put(replace(kernel, id="b", born=f"{namespace}:{int(tick) - 1}"))
    assert home.kernels.list() == [kernel]


def test_in_another_container_the_same_number_is_another_process(home: Home) -> None:
    """Both may see the home, and have the same name; what counts is then the lease alone."""
    kernel = replace(home.run(), born="1:1", pid=1)
    home.kernels.put(kernel)
    assert home.kernels.list() == [kernel]
    home.kill()
    assert home.kernels.list() == []


def test_on_another_host_nobody_can_know(home: Home) -> None:
    kernel = replace(home.run(), host="elsewhere")
    home.kernels.put(kernel)
    home.kill()
    assert home.kernels.list() == [kernel]


def test_one_whose_prefix_is_gone_has_ended(home: Home) -> None:
    home.run()
    remove_tree(home.service.cache / "prefixes")
    assert home.kernels.list() == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"id": 3}'])
def test_what_cannot_be_read_is_nothing_to_tell_of(home: Home, text: str) -> None:
    kernel = home.run()
    (home.folder / "live" / "leases" / "vm-x.json").write_text(text)
    assert home.kernels.list() == [kernel]


def test_a_hint_reaches_no_file_outside_of_the_prefixes(home: Home, tmp_path: Path) -> None:
    kernel = home.run()
    (tmp_path / "secret").write_text("")
    home.kernels.put(replace(kernel, id="b", ready="prefixes/../../secret"))
    assert home.kernels.list() == [kernel]


def test_a_hint_under_the_name_of_another_is_not_told(home: Home) -> None:
    kernel = home.run()
    content = (home.folder / "live" / "leases" / f"{kernel.host}-{kernel.id}.json").read_text()
    (home.folder / "live" / "leases" / "other-x.json").write_text(content)
    assert home.kernels.list() == [kernel]


def test_the_name_of_a_kernel_cannot_lead_elsewhere(home: Home) -> None:
    kernel = home.run("../../environments/churn/00000009")
    assert "/" not in kernel.id
    assert [path.name for path in (home.folder / "live" / "leases").iterdir()] == [f"{kernel.host}-{kernel.id}.json"]


def test_a_newer_envpanel_may_tell_more(home: Home) -> None:
    kernel = home.run()
    path = home.folder / "live" / "leases" / f"{kernel.host}-{kernel.id}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "colour": "blue"}))
    assert home.kernels.list() == [kernel]


def test_behind_counts_what_has_brought_other_packages(home: Home) -> None:
    first = home.run("a")
    assert behind(home.service, first) == 0
    asyncio.run(home.service.change("churn", Describe(description="of team A"), by=signature()))
    assert behind(home.service, first) == 0, "a description is no package"
    home.change("alpha>=2,<3")
    home.change("alpha>=3")
    assert behind(home.service, first) == 2
    assert behind(home.service, home.run("b")) == 0
    asyncio.run(home.service.change("churn", home.service.restoring("churn", 1), by=signature()))
    assert behind(home.service, first) == 0, "the head has its packages again"
    assert behind(home.service, replace(first, content_id="0" * 64)) == 4


def test_behind_what_is_gone_is_not_found(home: Home) -> None:
    kernel = home.run()
    with pytest.raises(NotFound):
        behind(home.service, replace(kernel, environment="gone"))
