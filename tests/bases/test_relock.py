"""Pinning a base anew: from the files of an index to the pins that a lock is made of."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from uv import find_uv_bin
from wheelhouse import Distribution, Wheelhouse, standard

from envpanel.bases import relock as command
from envpanel.bases.bundle import Bundle, Pins
from envpanel.bases.relock import written
from envpanel.engines.interpreters import Interpreter
from envpanel.engines.uv import UvEngine
from envpanel.model.nouns import PYTHONS
from envpanel.model.target import Target
from envpanel.settings import Settings

YAML = """\
title: Demo
description: A base of the tests.
group: feature-engineering
uses: [notebook, job]
requirements: {requirements}
"""
LINUX = "manylinux_2_17_x86_64.manylinux2014_x86_64"
FITTING = (
    f"cp311-cp311-{LINUX}",
    "cp312-cp312-manylinux_2_28_aarch64",
    "cp313-cp313-macosx_11_0_arm64",
    "cp313-cp313-macosx_10_13_x86_64",
    "cp39-abi3-macosx_10_9_universal2",
    "cp310-abi3-win_amd64",
    f"py3-none-{LINUX}",
    "cp312-cp312-manylinux_2_17_x86_64.musllinux_1_2_x86_64",
)
UNUSABLE = (
    "cp313-cp313t-manylinux_2_28_x86_64",
    "cp314-cp314-manylinux_2_28_x86_64",
    "cp314-abi3-manylinux_2_28_x86_64",
    "cp310-cp310-manylinux_2_28_x86_64",
    "pp311-pypy311_pp73-manylinux_2_28_x86_64",
    "cp311-cp311-musllinux_1_2_x86_64",
    "cp311-cp311-manylinux_2_17_i686",
    "cp311-cp311-manylinux_2_17_ppc64le",
    "cp311-cp311-manylinux_2_31_armv7l",
    "cp311-cp311-win32",
    "cp311-cp311-win_arm64",
    "py2-none-any",
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    house = standard(tmp_path_factory.mktemp("house"))
    for tag in (*FITTING, *UNUSABLE):
        house.add(Distribution(name="native", version="1.0", tag=tag))
    house.add(
        Distribution(name="native", version="1.0", sdist_only=True),
        Distribution(name="forked", version="1.0", requires_python=">=3.9"),
        Distribution(name="forked", version="2.0", requires_python=">=3.12"),
        Distribution(name="forpypy", version="1.0", requires=("lib-a; implementation_name == 'pypy'",)),
    )
    return house.write()


Relock = Callable[..., int]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "bases"
    path.mkdir()
    return path


@pytest.fixture
def relock(house: Wheelhouse, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Relock:
    """The command over the bases of `folder`, with the index of the tests."""
    monkeypatch.setenv("UV_DEFAULT_INDEX", house.url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return lambda *arguments: command.main(arguments, folder=folder)


def describe(folder: Path, *requirements: str, name: str = "demo") -> None:
    (folder / f"{name}.yaml").write_text(YAML.format(requirements=list(requirements)))


def pins(folder: Path) -> Pins:
    return Bundle(folder).get("demo").pins


def test_a_base_is_pinned_and_locks(relock: Relock, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    describe(folder, "alpha", "marked", "ipykernel", "ipywidgets")
    assert relock("demo", "--bundle", "2026-11-20") == 0
    assert capsys.readouterr().out == "demo: 6 pins of 2026-11-20\n"
    base = Bundle(folder).get("demo")
    assert base.bundle == "2026-11-20"
    assert base.pins.python == PYTHONS
    lock = base.lock(Target(python="3.11"))
    expected = {"alpha": "2.0", "beta": "2.0", "comm": "0.2", "ipykernel": "7.0", "ipywidgets": "8.0", "marked": "1.0"}
    assert lock.versions == expected


def test_pinning_twice_gives_the_same_bytes(relock: Relock, folder: Path) -> None:
    describe(folder, "native", "forked", "marked", "fromsource", "chain-0")
    first, second = ((relock("--bundle", "2026-11-20"), (folder / "demo.pins.json").read_bytes()) for _ in range(2))
    assert first == second
    assert first[0] == 0


def test_the_pins_can_be_installed(relock: Relock, folder: Path, house: Wheelhouse, tmp_path: Path) -> None:
    """The digests are those of the files, or uv would refuse them."""
    describe(folder, "alpha", "tool")
    relock()
    lock = Bundle(folder).get("demo").lock(Target(python=f"3.{sys.version_info.minor}"))
    engine = UvEngine(uv=find_uv_bin(), cache=tmp_path / "uv", environ=os.environ, settings=Settings())
    interpreter = Interpreter(path=Path(os.path.realpath(sys.executable)), version=platform.python_version())
    building = engine.build(
        lock,
        tmp_path / "prefix",
        interpreter,
        wheels=tmp_path,
        pass_fds=(),
        report=lambda _: None,
        log=lambda _: None,
    )
    asyncio.run(building)
    assert (tmp_path / "prefix" / "bin" / "tool-hello").exists()


def test_a_newer_version_for_newer_pythons(relock: Relock, folder: Path) -> None:
    describe(folder, "forked")
    relock()
    base = Bundle(folder).get("demo")
    versions = {python: base.lock(Target(python=python)).versions["forked"] for python in PYTHONS}
    assert versions == {"3.11": "1.0", "3.12": "2.0", "3.13": "2.0"}
    assert [pin.version for pin in base.pins.packages] == ["1.0", "2.0"]


def test_files_that_no_supported_target_can_use_are_left_out(relock: Relock, folder: Path) -> None:
    describe(folder, "native")
    relock()
    (pin,) = pins(folder).packages
    assert [name for name, _ in pin.files] == sorted(f"native-1.0-{tag}.whl" for tag in FITTING)


def test_an_sdist_stays_only_where_there_is_nothing_else(relock: Relock, folder: Path) -> None:
    describe(folder, "fromsource")
    relock()
    (pin,) = pins(folder).packages
    assert [name for name, _ in pin.files] == ["fromsource-1.0.tar.gz"]


def test_what_no_supported_target_needs_is_left_out(relock: Relock, folder: Path) -> None:
    describe(folder, "forpypy")
    relock()
    assert [pin.name for pin in pins(folder).packages] == ["forpypy"]


def test_markers_stay_only_where_they_tell_targets_apart(relock: Relock, folder: Path) -> None:
    describe(folder, "lib-b", "lib-c; sys_platform == 'win32'", "lib-d; sys_platform != 'emscripten'")
    relock()
    markers = {pin.name: pin.marker for pin in pins(folder).packages}
    assert markers.keys() == {"lib-b", "lib-c", "lib-d"}
    assert markers["lib-b"] is markers["lib-d"] is None
    assert "win32" in (markers["lib-c"] or "")


def test_a_line_for_each_package_and_no_address(relock: Relock, folder: Path) -> None:
    describe(folder, "alpha", "native")
    relock()
    text = (folder / "demo.pins.json").read_text()
    assert [line.split('"')[3] for line in text.splitlines() if line.startswith('{"name"')] == [
        "alpha",
        "beta",
        "native",
    ]
    assert "://" not in text
    assert str(folder.parent) not in text


def test_all_bases_are_pinned_where_none_is_named(relock: Relock, folder: Path) -> None:
    describe(folder, "alpha", name="one")
    describe(folder, "beta", name="two")
    assert relock() == 0
    assert {path.name for path in folder.glob("*.json")} == {"one.pins.json", "two.pins.json"}


def test_pins_stay_where_nothing_meets_the_requirements(
    relock: Relock, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    describe(folder, "alpha")
    relock()
    before = (folder / "demo.pins.json").read_bytes()
    describe(folder, "alpha==2.0", "gamma")
    assert relock() == 1
    assert "No set of packages meets all requirements" in capsys.readouterr().err
    assert (folder / "demo.pins.json").read_bytes() == before


def test_a_name_that_is_not_there(relock: Relock, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    describe(folder, "alpha")
    assert relock("other") == 1
    assert capsys.readouterr().err == "There is no base environment 'other'.\nThere are: demo.\n"


def test_a_date_that_is_none(relock: Relock, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        relock("--bundle", "tomorrow")
    assert raised.value.code == 2
    assert "tomorrow" in capsys.readouterr().err


@pytest.mark.parametrize("name", Bundle.shipped().names())
def test_the_shipped_pins_are_written_like_this(name: str) -> None:
    base = Bundle.shipped().get(name)
    assert base.pins_path.read_text(encoding="utf-8") == written(base.pins)
