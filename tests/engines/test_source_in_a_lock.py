"""A lock that names a source distribution, as that of a bundled base with pyspark does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from uv import find_uv_bin
from wheelhouse import Wheelhouse, standard

from envpanel.engines.interface import Request
from envpanel.engines.interpreters import Interpreter, Interpreters
from envpanel.engines.uv import UvEngine
from envpanel.errors import EngineFailed
from envpanel.model import wire
from envpanel.model.lock import Lock, LockedPackage, lock
from envpanel.model.nouns import Origin
from envpanel.model.target import Target, default_python
from envpanel.settings import Settings


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    return standard(tmp_path / "index")


@pytest.fixture
def engine(tmp_path: Path, house: Wheelhouse) -> UvEngine:
    environ = {"UV_DEFAULT_INDEX": house.url}
    return UvEngine(uv=find_uv_bin(), cache=tmp_path / "uv", environ=environ, settings=Settings())


@pytest.fixture
def interpreter() -> Interpreter:
    found = Interpreters(find_uv_bin(), {}).running(default_python())
    assert found is not None
    return found


@pytest.fixture
def locked(house: Wheelhouse) -> Lock:
    """fromsource 1.0 by the hash of its source; no wheel is kept."""
    sdist = next(house.find_links.rglob("fromsource-1.0.tar.gz"))
    digest = wire.sha256(sdist.read_bytes())
    source = LockedPackage(name="fromsource", version="1.0", file=sdist.name, sha256=digest, origin=Origin.SDIST)
    target = Target(python=default_python())
    return lock([source], python=target.python, platform=target.platform)


def build(engine: UvEngine, lock: Lock, directory: Path, interpreter: Interpreter) -> list[str]:
    """Build it; the lines of the log."""
    lines: list[str] = []
    wheels = directory.parent / "no-wheels"
    building = engine.build(
        lock, directory, interpreter, wheels=wheels, pass_fds=(), report=lambda _: None, log=lines.append
    )
    asyncio.run(building)
    return lines


def test_its_wheel_is_built_once_on_each_machine(
    tmp_path: Path, engine: UvEngine, interpreter: Interpreter, locked: Lock
) -> None:
    assert any("Building fromsource" in line for line in build(engine, locked, tmp_path / "first", interpreter))
    assert not any("Building fromsource" in line for line in build(engine, locked, tmp_path / "second", interpreter))


def test_a_source_of_another_hash_is_not_built(
    tmp_path: Path, engine: UvEngine, interpreter: Interpreter, locked: Lock
) -> None:
    wrong = replace(locked, packages=(replace(locked.packages[0], sha256="0" * 64),))
    with pytest.raises(EngineFailed, match="Hash mismatch"):
        build(engine, wrong, tmp_path / "prefix", interpreter)


def test_what_is_asked_for_besides_leaves_it_as_it_is(engine: UvEngine, interpreter: Interpreter, locked: Lock) -> None:
    request = Request(requirements=("alpha", "fromsource"), python=locked.python, preferred=locked)
    resolving = engine.resolve(request, interpreter, report=lambda _: None, log=lambda _: None)
    resolution = asyncio.run(resolving)
    assert locked.packages[0] in resolution.lock.packages
    assert resolution.warnings == ()
