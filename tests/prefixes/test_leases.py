"""A lease lasts as long as the program that runs in the prefix, however that ends."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envpanel.prefixes.leases import hold, is_held
from envpanel.prefixes.prefix import Prefix, Prefixes

LAUNCHER = """
    import os, sys
    from pathlib import Path
    from envpanel.prefixes.leases import hold
    from envpanel.prefixes.prefix import Prefixes

    prefix = Prefixes(Path(sys.argv[1])).find("key")
    os.set_inheritable(hold(prefix), True)
    os.execvp(sys.argv[2], sys.argv[2:])
"""
SAYS = "print('running', flush=True); "
SLEEPER = (sys.executable, "-c", SAYS + "import time; time.sleep(60)")


@pytest.fixture
def prefix(tmp_path: Path) -> Prefix:
    prefixes = Prefixes(tmp_path)
    site = prefixes.begin("key")
    (site.path / "bin").mkdir(parents=True)
    (site.path / "bin" / "python").symlink_to(sys.executable)
    (site.path / "pyvenv.cfg").write_text("")
    made = prefixes.publish(site)
    prefixes.end(site)
    return made


def is_leased(prefix: Prefix) -> bool:
    """Whether somebody who would remove the prefix has to leave it alone."""
    return is_held(prefix.ready)


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


Launch = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def launch(prefix: Prefix) -> Iterator[Launch]:
    """Start a program as a launcher does: take the lease, then become the program."""
    started = []

    def start(*argv: str) -> subprocess.Popen[str]:
        launcher = [sys.executable, "-c", textwrap.dedent(LAUNCHER), str(prefix.ready.parent.parent), *argv]
        process = subprocess.Popen(launcher, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_without_a_lease_a_prefix_is_free(prefix: Prefix) -> None:
    assert not is_leased(prefix)


def test_a_lease_ends_when_its_descriptor_is_closed(prefix: Prefix) -> None:
    descriptor = hold(prefix)
    assert is_leased(prefix)
    os.close(descriptor)
    assert not is_leased(prefix)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_lease_goes_over_to_the_program_and_stays_until_it_ends(
    prefix: Prefix, launch: Launch, end: signal.Signals
) -> None:
    kernel = launch(*SLEEPER)
    assert is_leased(prefix)
    kernel.send_signal(end)
    kernel.wait()
    assert not is_leased(prefix)


def test_a_lease_ends_with_a_program_that_ends_by_itself(prefix: Prefix, launch: Launch) -> None:
    kernel = launch(sys.executable, "-c", "print('running', flush=True); input()")
    kernel.wait(timeout=10)
    assert not is_leased(prefix)


def test_a_lease_stays_until_the_last_of_several_programs_ends(prefix: Prefix, launch: Launch) -> None:
    first, second = launch(*SLEEPER), launch(*SLEEPER)
    first.kill()
    first.wait()
    assert is_leased(prefix)
    second.kill()
    second.wait()
    assert not is_leased(prefix)


def test_a_child_that_outlives_a_forking_program_keeps_the_lease(prefix: Prefix, launch: Launch) -> None:
    """A worker of a kernel may still import from the prefix."""
    forking = (
        "import os, sys, time; child = os.fork(); child or time.sleep(1.5); child and print('running', flush=True)"
    )
    kernel = launch(sys.executable, "-c", forking)
    kernel.wait(timeout=10)
    assert is_leased(prefix)
    assert wait_until(lambda: not is_leased(prefix))


def test_many_lease_at_once_and_nobody_waits(prefix: Prefix) -> None:
    descriptors = [hold(prefix) for _ in range(20)]
    for descriptor in descriptors:
        assert is_leased(prefix)
        os.close(descriptor)
    assert not is_leased(prefix)


def test_a_lease_on_one_prefix_is_none_on_another(prefix: Prefix, tmp_path: Path) -> None:
    other = tmp_path / "key" / "READY-2.json"
    other.write_text("")
    descriptor = hold(prefix)
    assert not is_leased(Prefix(key="key", path=prefix.path, ready=other))
    os.close(descriptor)


def test_a_lease_needs_no_right_to_write(prefix: Prefix) -> None:
    prefix.ready.chmod(0o444)
    descriptor = hold(prefix)
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    os.close(descriptor)
    assert flags & os.O_ACCMODE == os.O_RDONLY


def test_children_get_a_lease_only_where_it_is_handed_on(prefix: Prefix) -> None:
    descriptor = hold(prefix)
    child = subprocess.Popen([sys.executable, "-c", SAYS + "input()"], stdin=subprocess.PIPE, close_fds=False)
    os.close(descriptor)
    # A child has all descriptors until it becomes another program.
    deadline = time.monotonic() + 5
    while is_leased(prefix):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.kill()
    child.communicate()


def test_looking_whether_it_is_held_holds_nothing(prefix: Prefix) -> None:
    assert not is_held(prefix.ready)
    descriptor = os.open(prefix.ready, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)
    assert not is_held(prefix.ready.with_name("READY-9.json"))


@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "removed and built again"])
def test_who_waits_for_a_removal_does_not_lease_what_is_gone(prefix: Prefix, replaced: bool) -> None:
    remover = os.open(prefix.ready, os.O_RDONLY)
    fcntl.flock(remover, fcntl.LOCK_EX)
    outcome: list[object] = []

    def lease() -> None:
        try:
            outcome.append(hold(prefix))
        except FileNotFoundError as error:
            outcome.append(error)

    waiting = threading.Thread(target=lease)
    waiting.start()
    waiting.join(0.2)
    assert outcome == []
    prefix.ready.unlink()
    if replaced:
        prefix.ready.write_text("another one")
    os.close(remover)
    waiting.join(10)
    assert isinstance(outcome[0], FileNotFoundError)
