"""What lies beside a prefix: copied into the cache by its content, once, and never changed there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import envpanel
from envpanel.errors import StoreError
from envpanel.kernels import tools
from envpanel.prefixes.prefix import remove_tree


def test_the_notebook_side_is_a_package_of_two_parts_and_nothing_else(tmp_path: Path) -> None:
    folder = tools.install(tmp_path).notebook
    assert [path.name for path in folder.iterdir()] == ["envpanel"]
    assert {path.name for path in (folder / "envpanel").iterdir()} == {"__init__.py", "notebook"}
    source = Path(envpanel.__file__).parent
    for path in (path for path in folder.rglob("*") if path.is_file()):
        assert path.read_bytes() == (source.parent / path.relative_to(folder)).read_bytes()


def test_the_notebook_side_is_no_distribution(tmp_path: Path) -> None:
    folder = tools.install(tmp_path).notebook
    code = "import sys, importlib.metadata as m; sys.path[:] = sys.argv[1:]; print(len(list(m.distributions())))"
    shown = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    assert shown.stdout == "0\n"


def test_the_stand_ins_can_be_run_and_nothing_can_be_written(tmp_path: Path) -> None:
    made = tools.install(tmp_path)
    assert all(os.access(made.shims / name, os.X_OK) for name in ("pip", "pip3", "uv", "conda", "mamba"))
    for folder in (made.shims, made.notebook):
        assert [path for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o222] == []


def test_the_same_content_is_written_once(tmp_path: Path) -> None:
    first = tools.install(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert tools.install(tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_what_was_removed_is_written_again(tmp_path: Path) -> None:
    made = tools.install(tmp_path)
    remove_tree(tmp_path / "notebook")
    assert tools.install(tmp_path) == made
    assert made.notebook.is_dir()


def test_many_at_once_leave_one_whole_folder(tmp_path: Path) -> None:
    threads = [threading.Thread(target=tools.install, args=(tmp_path,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = tools.install(tmp_path)
    for folder in (made.shims, made.notebook):
        assert list(folder.parent.iterdir()) == [folder]
    assert {path.name for path in made.shims.iterdir()} == {*tools.SHIMS, tools.MARK}


@pytest.mark.parametrize(("mode", "readers"), [(0o755, 0o555), (0o750, 0o550), (0o2770, 0o550), (0o700, 0o500)])
def test_they_are_for_whoever_may_see_the_cache(tmp_path: Path, mode: int, readers: int) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(mode)
    before = os.umask(0o077)
    try:
        made = tools.install(cache)
    finally:
        os.umask(before)
    assert stat.S_IMODE(made.shims.stat().st_mode) & 0o777 == readers
    assert stat.S_IMODE((made.shims / "pip").stat().st_mode) == readers
    assert stat.S_IMODE((made.notebook / "envpanel" / "__init__.py").stat().st_mode) == readers & 0o444


def test_who_may_not_write_the_first_cache_takes_the_second_one(tmp_path: Path) -> None:
    denied = tmp_path / "file" / "cache"
    (tmp_path / "file").write_text("")
    made = tools.install(denied, tmp_path / "own")
    assert made.shims.is_relative_to(tmp_path / "own")
    with pytest.raises(StoreError, match="could not be written"):
        tools.install(denied)


def test_what_is_there_is_taken_wherever_it_is(tmp_path: Path) -> None:
    made = tools.install(tmp_path / "second")
    assert tools.install(tmp_path / "first", tmp_path / "second") == made
    assert not (tmp_path / "first").exists()
