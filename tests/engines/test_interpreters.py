"""Which interpreter an environment stands on, on whatever machine the tests run."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from uv import find_uv_bin

from envpanel.engines.interpreters import Interpreter, Interpreters
from envpanel.errors import EnvPanelError, InterpreterNotFound
from envpanel.model.nouns import PYTHONS

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
REAL = Path(os.path.realpath(sys.executable))
VERSION = platform.python_version()
OTHERS = [minor for minor in PYTHONS if minor != RUNNING]


def find(minor: str, environ: Mapping[str, str] = os.environ, *search: Path, uv: str | None = None) -> Interpreter:
    finder = Interpreters(uv or find_uv_bin(), environ, tuple(map(str, search)))
    return asyncio.run(finder.find(minor))


def version_of(python: Path) -> str:
    code = "import platform; print(platform.python_version())"
    return subprocess.check_output([python, "-I", "-c", code], text=True).strip()


def copied(folder: Path) -> Path:
    """A copy of the interpreter that runs the tests, beside its library."""
    python = folder / "bin" / f"python{RUNNING}"
    python.parent.mkdir(parents=True)
    shutil.copy2(REAL, python)
    (folder / "lib").symlink_to(REAL.parent.parent / "lib")
    return python


def marking(path: Path, mark: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\ntouch "{mark}"\nexit 1\n')
    path.chmod(0o755)
    return path


def listing(path: Path, entries: Sequence[Mapping[str, str]]) -> str:
    """A uv that lists these interpreters, whatever it is asked."""
    base = {"implementation": "cpython", "variant": "default"}
    text = json.dumps([{**base, **entry} for entry in entries])
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    path.chmod(0o755)
    return str(path)


def test_the_running_interpreter_is_found_without_starting_a_program(tmp_path: Path) -> None:
    mark = tmp_path / "started"
    uv = marking(tmp_path / "uv", mark)
    assert find(RUNNING, {}, uv=str(uv)) == Interpreter(path=REAL, version=VERSION)
    assert not mark.exists()


def test_the_running_interpreter_is_the_real_one_below_a_virtual_environment() -> None:
    found = Interpreters("uv", {}).running(RUNNING)
    assert found is not None
    assert not found.path.is_symlink()
    code = "import sys; print(sys.prefix == sys.base_prefix)"
    assert subprocess.check_output([found.path, "-c", code], text=True).strip() == "True"


def test_there_is_no_running_interpreter_of_another_minor_version() -> None:
    assert all(Interpreters("uv", {}).running(minor) is None for minor in OTHERS)


def test_the_minor_version_is_that_of_the_version() -> None:
    assert Interpreter(path=REAL, version="3.12.10").minor == "3.12"
    assert Interpreter(path=REAL, version="3.13.0rc1").minor == "3.13"


@pytest.mark.parametrize("minor", PYTHONS)
def test_each_minor_version_is_found_and_runs_or_what_there_is_instead_is_told(minor: str) -> None:
    try:
        found = find(minor)
    except InterpreterNotFound as error:
        assert minor in error.message
        assert RUNNING in error.message
        assert "python_search_path" in (error.hint or "")
    else:
        assert found.minor == minor
        assert found.path == Path(os.path.realpath(found.path))
        assert version_of(found.path) == found.version


def test_all_of_pyenv_are_found_without_it_being_active(tmp_path: Path) -> None:
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    environ = {"HOME": str(tmp_path), "PATH": "/nonexistent", "PYENV_ROOT": str(root)}
    for minor in OTHERS:
        there = [version_of(python) for python in root.glob(f"versions/{minor}.*/bin/python{minor}")]
        if there:
            assert find(minor, environ).minor == minor


def test_an_interpreter_in_a_folder_of_versions_is_found(tmp_path: Path) -> None:
    python = copied(tmp_path / "pyenv" / "versions" / VERSION)
    environ = {"HOME": str(tmp_path), "PATH": "/nonexistent", "PYENV_ROOT": str(tmp_path / "pyenv")}
    finder = Interpreters(find_uv_bin(), environ, [str(tmp_path / "empty")])
    assert asyncio.run(finder.find(RUNNING)).path == python


def test_shims_are_neither_started_nor_chosen(tmp_path: Path) -> None:
    mark, shims = tmp_path / "started", tmp_path / "shims"
    for minor in (*PYTHONS, "3.99"):
        marking(shims / f"python{minor}", mark)
    marking(shims / "python", mark)
    environ = {**os.environ, "PATH": f"{shims}:{os.environ['PATH']}"}
    for minor in OTHERS:
        try:
            assert shims not in find(minor, environ).path.parents
        except InterpreterNotFound:
            continue
    with pytest.raises(InterpreterNotFound):
        find("3.99", environ)
    assert not mark.exists()


def test_a_folder_of_the_search_path_goes_before_the_running_interpreter(tmp_path: Path) -> None:
    python = copied(tmp_path / "ours")
    assert find(RUNNING, os.environ, python.parent) == Interpreter(path=python, version=VERSION)


def test_the_search_path_goes_before_newer_ones_elsewhere(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours" / "bin", tmp_path / "theirs" / "bin"
    entries = [
        {"path": str(theirs / "python3.12"), "version": "3.12.9"},
        {"path": str(ours / "python3.12"), "version": "3.12.1"},
    ]
    found = find("3.12", {"PATH": str(theirs)}, ours, uv=listing(tmp_path / "uv", entries))
    assert found == Interpreter(path=ours / "python3.12", version="3.12.1")


def test_what_the_search_path_lacks_is_found_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert find(RUNNING, os.environ, tmp_path / "empty").minor == RUNNING


def test_of_several_the_newest_patch_version_is_taken_by_number(tmp_path: Path) -> None:
    versions = ("3.12.9", "3.12.10", "3.12.2", "3.13.99")
    entries = [{"path": str(tmp_path / version), "version": version} for version in versions]
    finder = Interpreters(listing(tmp_path / "uv", entries), {}, [str(tmp_path)])
    assert asyncio.run(finder.find("3.12")).version == "3.12.10"


def test_other_implementations_and_variants_are_left_out(tmp_path: Path) -> None:
    entries = [
        {"path": str(tmp_path / "a"), "version": "3.12.5", "implementation": "pypy"},
        {"path": str(tmp_path / "b"), "version": "3.12.6", "variant": "freethreaded"},
        {"path": str(tmp_path / "c"), "version": "3.12.1"},
    ]
    finder = Interpreters(listing(tmp_path / "uv", entries), {}, [str(tmp_path)])
    assert asyncio.run(finder.find("3.12")).version == "3.12.1"


def test_what_there_is_instead_is_named_once_each_in_order(tmp_path: Path) -> None:
    versions = ("3.10.1", "3.9.2", "3.9.7", "3.12.1")
    entries = [{"path": str(tmp_path / version), "version": version} for version in versions]
    with pytest.raises(InterpreterNotFound, match=r"3\.11 is not on this machine; there is 3\.9, 3\.10, 3\.12\."):
        find("3.11", {}, tmp_path, uv=listing(tmp_path / "uv", entries))


def test_where_there_is_nothing_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InterpreterNotFound, match=r"^Python 3\.11 is not on this machine\.$"):
        find("3.11", {}, tmp_path, uv=listing(tmp_path / "uv", []))


@pytest.mark.parametrize("text", [None, "echo rubbish", "exit 2", "kill -SEGV $$", "echo '[{}]'", "echo '{}'"])
def test_a_broken_or_absent_uv_gives_a_sentence(tmp_path: Path, text: str | None) -> None:
    uv = tmp_path / "uv"
    if text is not None:
        uv.write_text(f"#!/bin/sh\n{text}\n")
        uv.chmod(0o755)
    with pytest.raises(EnvPanelError):
        find("3.99", {}, tmp_path, uv=str(uv))


def test_what_was_found_is_asked_for_once(tmp_path: Path) -> None:
    entries = [{"path": str(tmp_path / "python3.12"), "version": "3.12.1"}]
    uv = Path(listing(tmp_path / "uv", entries))
    finder = Interpreters(str(uv), {}, [str(tmp_path)])
    first = asyncio.run(finder.find("3.12"))
    uv.unlink()
    assert asyncio.run(finder.find("3.12")) is first
