"""A prefix is there or not, never half; nobody's is removed; nothing outside is ever touched."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as configured
from hypothesis import strategies as st

from envpanel.errors import StoreError
from envpanel.model import wire
from envpanel.prefixes import verify
from envpanel.prefixes.prefix import Prefix, Prefixes, Site, remove_tree
from envpanel.prefixes.tree import Tree

KEY = "0123456789abcdef0123"


def make_read_only(root: Path, mode: int = 0o755) -> None:
    Tree.scan(root).protect(mode)


@pytest.fixture
def prefixes(tmp_path: Path) -> Prefixes:
    root = tmp_path / "prefixes"
    root.mkdir()
    root.chmod(0o755)
    return Prefixes(root)


def fill(directory: Path, python: str = os.path.realpath(sys.executable)) -> None:
    """What an engine makes: a link to the interpreter, a program, a module."""
    (directory / "bin").mkdir(parents=True)
    (directory / "bin" / "python").symlink_to(python)
    (directory / "bin" / "tool").write_text("#!/bin/sh\n")
    (directory / "bin" / "tool").chmod(0o775)
    (directory / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (directory / "lib").mkdir()
    (directory / "lib" / "module.py").write_text("x = 1\n")


@contextmanager
def building(prefixes: Prefixes, key: str = KEY) -> Iterator[Site]:
    site = prefixes.begin(key)
    try:
        yield site
    finally:
        prefixes.end(site)


def published(prefixes: Prefixes, key: str = KEY, python: str = os.path.realpath(sys.executable)) -> Prefix:
    with building(prefixes, key) as site:
        fill(site.path, python)
        return prefixes.publish(site)


def names(prefixes: Prefixes, key: str = KEY) -> list[str]:
    return sorted(path.name for path in prefixes.root.glob(f"{key}/*"))


def left_of(made: Prefix) -> list[str]:
    """What there is of a finished prefix beside it, and itself."""
    return sorted([made.path.name, f"{made.path.name}.manifest.json", made.ready.name])


def directories(prefixes: Prefixes, key: str = KEY) -> list[str]:
    return [name for name in names(prefixes, key) if (prefixes.root / key / name).is_dir()]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def as_an_ordinary_user(work: Callable[[Path], None]) -> None:
    """Do it in a folder of one's own without the rights of root, which would hide what a mode forbids."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "own"
        folder.mkdir()
        if os.geteuid() != 0:
            work(folder)
            return
        Path(name).chmod(0o755)
        os.chown(folder, 65534, 65534)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
                work(folder)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0


# From begin to end


def test_what_was_published_is_found(prefixes: Prefixes) -> None:
    made = published(prefixes)
    assert prefixes.find(KEY) == made
    assert made.is_whole
    assert made.path.parent == prefixes.root / KEY
    assert made.ready.name == "READY-1.json"
    assert subprocess.check_output([made.python, "-c", "print(1)"], text=True) == "1\n"


def test_the_directory_is_published_where_it_was_built(prefixes: Prefixes) -> None:
    """Moving one breaks the scripts in it."""
    with building(prefixes) as site:
        fill(site.path)
        assert prefixes.publish(site).path == site.path


def test_before_it_is_published_there_is_nothing(prefixes: Prefixes) -> None:
    assert prefixes.find(KEY) is None
    with building(prefixes) as site:
        assert not site.path.exists()
        fill(site.path)
        assert prefixes.find(KEY) is None


def test_what_was_not_published_is_gone_after_the_end(prefixes: Prefixes) -> None:
    with building(prefixes) as site:
        fill(site.path)
        make_read_only(site.path)
    assert list(prefixes.root.rglob("*")) == []


def test_a_prefix_stays_after_the_end_and_only_it(prefixes: Prefixes) -> None:
    made = published(prefixes)
    assert names(prefixes) == left_of(made)


def test_no_two_builders_share_a_directory(prefixes: Prefixes) -> None:
    with building(prefixes) as one, building(prefixes) as two:
        assert one.path != two.path


def test_the_second_publisher_gets_the_prefix_of_the_first(prefixes: Prefixes) -> None:
    with building(prefixes) as one, building(prefixes) as two:
        fill(one.path)
        fill(two.path)
        first = prefixes.publish(one)
        assert prefixes.publish(two) == first
    assert names(prefixes) == left_of(first)


def test_of_many_publishers_at_once_all_get_the_same(prefixes: Prefixes) -> None:
    start = threading.Barrier(8)

    def publish(key: str) -> Prefix:
        with building(prefixes, key) as site:
            fill(site.path)
            start.wait()
            return prefixes.publish(site)

    with ThreadPoolExecutor(8) as pool:
        for key in map(str, range(20)):
            found = set(pool.map(publish, [key] * 8))
            assert len(found) == 1
            assert len(directories(prefixes, key)) == 1
            assert prefixes.find(key) in found


def test_keys_do_not_disturb_each_other(prefixes: Prefixes) -> None:
    one, two = published(prefixes, "a"), published(prefixes, "b")
    assert (prefixes.find("a"), prefixes.find("b")) == (one, two)


@pytest.mark.parametrize("lost", ["bin/python", "pyvenv.cfg"])
def test_a_damaged_prefix_is_replaced_beside_itself(prefixes: Prefixes, lost: str) -> None:
    """What runs in the damaged one keeps its files."""
    old = published(prefixes)
    (old.path / lost).parent.chmod(0o755)
    (old.path / lost).unlink()
    found = prefixes.find(KEY)
    assert found is not None
    assert not found.is_whole
    new = published(prefixes)
    assert new.is_whole
    assert new.ready.name == "READY-2.json"
    assert new.path != old.path
    assert prefixes.find(KEY) == new
    assert (old.path / "lib" / "module.py").exists()
    with building(prefixes):
        assert (old.path / "lib" / "module.py").exists()


def test_ready_names_the_digest_of_the_list_of_files(prefixes: Prefixes) -> None:
    made = published(prefixes)
    data = verify.manifest_path(made.path).read_bytes()
    assert made.manifest == wire.sha256(data)
    assert json.loads(made.ready.read_bytes()) == {"directory": made.path.name, "manifest": made.manifest}
    assert json.loads(data)["lib/module.py"] == [0o444, "file", 6, wire.sha256(b"x = 1\n")]
    assert data == verify.manifest(Tree.scan(made.path))


def test_a_ready_file_of_an_older_envpanel_has_no_list_of_files(prefixes: Prefixes) -> None:
    made = published(prefixes)
    made.ready.chmod(0o644)
    made.ready.write_text(json.dumps({"directory": made.path.name}))
    assert prefixes.find(KEY) == replace(made, manifest=None)


def test_a_prefix_whose_interpreter_is_gone_is_damaged(prefixes: Prefixes, tmp_path: Path) -> None:
    base = tmp_path / "python"
    base.write_text("")
    with building(prefixes) as site:
        fill(site.path)
        (site.path / "bin" / "python").unlink()
        (site.path / "bin" / "python").symlink_to(base)
        made = prefixes.publish(site)
    assert made.is_whole
    base.unlink()
    assert not made.is_whole


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"{", b"{}", b"[]", b"null", b'"text"', b'{"other": 1}'])
def test_a_ready_file_of_rubbish_is_no_prefix_and_no_hindrance(prefixes: Prefixes, content: bytes) -> None:
    (prefixes.root / KEY).mkdir()
    (prefixes.root / KEY / "READY-1.json").write_bytes(content)
    assert prefixes.find(KEY) is None
    made = published(prefixes)
    assert prefixes.find(KEY) == made
    assert made.ready.name == "READY-2.json"


def test_other_files_are_not_taken_for_ready_files(prefixes: Prefixes) -> None:
    made = published(prefixes)
    for name in ("READY-9.json.tmp", "READY-.json", "READY-x.json", "xREADY-9.json"):
        (prefixes.root / KEY / name).write_text(json.dumps({"directory": "elsewhere"}))
    assert prefixes.find(KEY) == made


def test_the_tenth_repair_comes_after_the_ninth(prefixes: Prefixes) -> None:
    last = published(prefixes)
    for _ in range(10):
        last.bin.chmod(0o755)
        last.python.unlink()
        last = published(prefixes)
    assert last.ready.name == "READY-11.json"
    assert prefixes.find(KEY) == last


@pytest.mark.timeout(3)
def test_publishing_what_was_never_built_is_an_error_and_publishes_nothing(prefixes: Prefixes) -> None:
    with building(prefixes) as site, pytest.raises(StoreError):
        prefixes.publish(site)
    assert prefixes.find(KEY) is None


@pytest.mark.timeout(3)
@pytest.mark.parametrize("lost", ["bin/python", "pyvenv.cfg"])
def test_publishing_what_cannot_be_started_is_an_error_and_publishes_nothing(prefixes: Prefixes, lost: str) -> None:
    with building(prefixes) as site:
        fill(site.path)
        (site.path / lost).unlink()
        with pytest.raises(StoreError):
            prefixes.publish(site)
    assert prefixes.find(KEY) is None


def test_where_it_cannot_be_written_there_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="could not be written"):
        Prefixes(tmp_path / "file").begin(KEY)


# Killed builders

BUILDER = """
    import os, subprocess, sys, time
    from pathlib import Path
    from envpanel.prefixes.prefix import Prefixes

    site = Prefixes(Path(sys.argv[1])).begin(sys.argv[2])
    (site.path / "lib").mkdir(parents=True)
    (site.path / "lib" / "half.py").write_text("x = ")
    child = 0
    if sys.argv[3] == "child":
        sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
        child = subprocess.Popen(sleeper, pass_fds=[site.lock], start_new_session=True).pid
    print(site.path.name, child, flush=True)
    time.sleep(60)
"""


@contextmanager
def builder(
    prefixes: Prefixes, key: str = KEY, *, child: bool = False
) -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """Another process between begin and publish; its directory, and a child of it that has its lock."""
    argv = [sys.executable, "-c", textwrap.dedent(BUILDER), str(prefixes.root), key, "child" if child else "-"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    name, _, pid = process.stdout.readline().partition(" ")
    try:
        yield process, name, int(pid)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        if int(pid):
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("key", [KEY, "another"], ids=["the same key", "another key"])
def test_what_a_killed_builder_left_is_swept_at_the_next_begin(prefixes: Prefixes, key: str) -> None:
    with builder(prefixes) as (process, name, _):
        kill(process)
        assert name in names(prefixes)
        with building(prefixes, key):
            assert name not in names(prefixes)
            assert f"{name}.lock" not in names(prefixes)


def test_the_list_of_files_of_a_builder_killed_before_publishing_is_swept(prefixes: Prefixes) -> None:
    with builder(prefixes) as (process, name, _):
        verify.manifest_path(prefixes.root / KEY / name).write_text("{}")
        kill(process)
        prefixes.sweep()
        assert names(prefixes) == []


def test_a_builder_at_work_is_not_swept(prefixes: Prefixes) -> None:
    with builder(prefixes) as (_, name, _):
        with building(prefixes):
            assert (prefixes.root / KEY / name / "lib" / "half.py").exists()
        assert prefixes.is_building(KEY)


def test_a_killed_builder_is_not_swept_while_a_child_of_it_lives(prefixes: Prefixes) -> None:
    """The child may still be writing there."""
    with builder(prefixes, child=True) as (process, name, child):
        kill(process)
        with building(prefixes):
            assert (prefixes.root / KEY / name / "lib" / "half.py").exists()
        assert prefixes.is_building(KEY)
        os.kill(child, signal.SIGKILL)
        assert wait_until(lambda: not prefixes.is_building(KEY))
        with building(prefixes):
            assert name not in names(prefixes)


def test_a_builder_killed_after_publishing_keeps_its_prefix(prefixes: Prefixes) -> None:
    made = published(prefixes)
    lock, ready = made.path.with_suffix(".lock"), made.path.with_suffix(".ready")
    lock.write_text("")
    ready.write_text("")
    with building(prefixes):
        assert prefixes.find(KEY) == made
        assert made.is_whole
        assert not lock.exists()
        assert not ready.exists()
        assert verify.manifest_path(made.path).exists()


def test_sweeping_where_nothing_ever_was_is_fine(tmp_path: Path) -> None:
    Prefixes(tmp_path / "absent").sweep()


def test_a_builder_keeps_its_lock_and_directory_whoever_else_begins(prefixes: Prefixes) -> None:
    """Without the lock a killed builder's directory would stay for ever, and nobody would see that it builds."""
    lost: list[str] = []
    start = threading.Barrier(8)

    def begin(number: int) -> None:
        for turn in range(120):
            # All at once, for each of them sweeps as it begins.
            start.wait()
            with building(prefixes, f"key-{(number + turn) % 2}") as site:
                site.path.mkdir()
                time.sleep(0.001)
                if not site.path.is_dir():
                    lost.append("directory")
                if not site.path.with_suffix(".lock").exists():
                    lost.append("lock")

    def until_one_fails(number: int) -> None:
        try:
            begin(number)
        except threading.BrokenBarrierError:
            pass
        except Exception as error:
            lost.append(repr(error))
            start.abort()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(until_one_fails, range(8)))
    assert lost == []


# Whether somebody is at it


def test_somebody_builds_from_begin_to_end(prefixes: Prefixes) -> None:
    assert not prefixes.is_building(KEY)
    with building(prefixes) as site:
        assert prefixes.is_building(KEY)
        assert not prefixes.is_building("another")
        fill(site.path)
        prefixes.publish(site)
        assert prefixes.is_building(KEY)
    assert not prefixes.is_building(KEY)


def test_somebody_in_another_process_builds_until_it_is_killed(prefixes: Prefixes) -> None:
    with builder(prefixes) as (process, _, _):
        assert prefixes.is_building(KEY)
        kill(process)
        assert not prefixes.is_building(KEY)


def test_looking_does_not_disturb_the_builder(prefixes: Prefixes) -> None:
    with builder(prefixes) as (_, name, _):
        assert all(prefixes.is_building(KEY) for _ in range(20))
        assert f"{name}.lock" in names(prefixes)


# Who may do what with a finished one


@pytest.mark.parametrize(
    ("root", "folder", "program", "file"),
    [
        (0o755, 0o555, 0o555, 0o444),
        (0o775, 0o555, 0o555, 0o444),
        (0o750, 0o550, 0o550, 0o440),
        (0o2770, 0o550, 0o550, 0o440),
        (0o700, 0o500, 0o500, 0o400),
    ],
    ids=oct,
)
def test_a_finished_prefix_is_read_only_for_those_who_may_see_the_others(
    prefixes: Prefixes, root: int, folder: int, program: int, file: int
) -> None:
    prefixes.root.chmod(root)
    made = published(prefixes)
    found = {mode(path) for path in (made.path, *made.path.rglob("*")) if path.is_dir() and not path.is_symlink()}
    assert found == {folder}
    assert mode(made.bin / "tool") == program
    assert mode(made.path / "lib" / "module.py") == file
    assert mode(made.path / "pyvenv.cfg") == file


@pytest.mark.parametrize("umask", [0o077, 0o022, 0o000], ids=oct)
def test_whatever_the_umask_who_may_see_the_prefixes_may_see_this_one(prefixes: Prefixes, umask: int) -> None:
    before = os.umask(umask)
    try:
        made = published(prefixes)
    finally:
        os.umask(before)
    assert mode(made.path.parent) & 0o055 == 0o055
    assert mode(made.ready) == 0o444
    assert mode(verify.manifest_path(made.path)) == 0o444
    assert mode(made.path / "lib" / "module.py") == 0o444


def test_nobody_can_write_into_a_finished_prefix() -> None:
    def work(folder: Path) -> None:
        root = folder / "prefixes"
        root.mkdir()
        made = published(Prefixes(root), python="/bin/sh")
        for attempt in (
            lambda: (made.path / "lib" / "module.py").write_text("x = 2\n"),
            lambda: (made.path / "lib" / "new.py").write_text(""),
            lambda: (made.path / "lib" / "module.py").unlink(),
            lambda: (made.path / "new").mkdir(),
        ):
            with pytest.raises(PermissionError):
                attempt()
        remove_tree(made.path)
        assert not made.path.exists()

    as_an_ordinary_user(work)


# Trees: read-only, removed, and nothing outside


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file and a folder that links will point to."""
    folder = tmp_path / "outside"
    (folder / "inner").mkdir(parents=True)
    (folder / "file").write_text("mine")
    (folder / "inner" / "file").write_text("mine")
    (folder / "file").chmod(0o666)
    (folder / "inner").chmod(0o777)
    return folder


def state(folder: Path) -> dict[str, tuple[int, bytes | str | None]]:
    """Mode and content of all below, and of the folder itself; links are told, not followed."""
    found: dict[str, tuple[int, bytes | str | None]] = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        status = path.lstat()
        content: bytes | str | None = None
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        found[str(path.relative_to(folder))] = (stat.S_IMODE(status.st_mode), content)
    return found


def link_to(outside: Path, root: Path) -> None:
    root.mkdir()
    (root / "python").symlink_to(outside / "file")
    (root / "lib64").symlink_to(outside / "inner", target_is_directory=True)
    (root / "up").symlink_to("..", target_is_directory=True)
    (root / "dangling").symlink_to(outside / "absent")


@pytest.mark.parametrize("act", [make_read_only, remove_tree])
def test_what_links_point_to_is_left_alone(tmp_path: Path, outside: Path, act: Callable[[Path], None]) -> None:
    """Through `bin/python` the interpreter of the host would be changed."""
    link_to(outside, tmp_path / "root")
    before = state(outside)
    act(tmp_path / "root")
    assert state(outside) == before


@pytest.mark.parametrize("act", [make_read_only, remove_tree])
def test_a_link_in_the_place_of_the_tree_is_not_followed(
    tmp_path: Path, outside: Path, act: Callable[[Path], None]
) -> None:
    """Somebody may have put one there in the meantime."""
    (tmp_path / "root").symlink_to(outside, target_is_directory=True)
    before = state(outside)
    with suppress(OSError):
        act(tmp_path / "root")
    assert state(outside) == before


def test_removing_what_is_not_there_is_fine(tmp_path: Path) -> None:
    remove_tree(tmp_path / "absent")


def test_a_deep_read_only_tree_is_removed() -> None:
    def work(folder: Path) -> None:
        path = folder / "root"
        for number in range(200):
            path = path / f"level-{number}"
        path.mkdir(parents=True)
        (path / "file").write_text("")
        make_read_only(folder / "root")
        remove_tree(folder / "root")
        assert not (folder / "root").exists()

    as_an_ordinary_user(work)


def test_a_tree_is_removed_whatever_the_modes_in_it() -> None:
    def work(folder: Path) -> None:
        for number in (0o000, 0o111, 0o200, 0o333, 0o400, 0o444, 0o555):
            inner = folder / "root" / f"{number:o}" / "inner"
            inner.mkdir(parents=True)
            (inner / "file").write_text("")
            (inner / "file").chmod(0o000)
            inner.chmod(number)
            inner.parent.chmod(number)
        remove_tree(folder / "root")
        assert not (folder / "root").exists()

    as_an_ordinary_user(work)


names_of_files = st.sampled_from(["a", "b.py", "ünï", "c d", "-x"])
kinds = st.sampled_from(["file", "program", "folder", "link to file", "link to folder", "link to nothing", "pipe"])
trees = st.recursive(
    st.dictionaries(names_of_files, kinds, max_size=4),
    lambda inner: st.dictionaries(names_of_files, st.one_of(kinds, inner), max_size=4),
    max_leaves=12,
)


def plant(tree: dict[str, object], folder: Path, outside: Path) -> None:
    folder.mkdir()
    for name, kind in tree.items():
        path = folder / name
        match kind:
            case dict():
                plant(kind, path, outside)
            case "file" | "program":
                path.write_text(name)
                path.chmod(0o664 if kind == "file" else 0o775)
            case "folder":
                path.mkdir()
            case "pipe":
                os.mkfifo(path)
            case _:
                target = {"link to file": "file", "link to folder": "inner"}.get(str(kind), "absent")
                path.symlink_to(outside / target)


@given(tree=trees, mask=st.sampled_from([0o755, 0o750, 0o700]))
@configured(max_examples=60, deadline=None)
def test_any_tree_becomes_read_only_as_it_is_and_then_goes(tree: dict[str, object], mask: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        root, outside = Path(name) / "root", Path(name) / "outside"
        (outside / "inner").mkdir(parents=True)
        (outside / "file").write_text("mine")
        plant(tree, root, outside)
        before, around = state(root), state(outside)

        make_read_only(root, mask)
        after = state(root)
        assert {path: content for path, (_, content) in after.items()} == {
            path: content for path, (_, content) in before.items()
        }
        for path, (found, _) in after.items():
            is_link, is_pipe = (root / path).is_symlink(), (root / path).is_fifo()
            if not is_link and not is_pipe:
                programs = 0o111 if before[path][0] & 0o111 or (root / path).is_dir() else 0
                assert found == mask & (0o444 | programs), path
        make_read_only(root, mask)
        assert state(root) == after

        remove_tree(root)
        assert not root.exists()
        assert state(outside) == around
