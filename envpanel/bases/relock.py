"""Pins the bundled bases anew: `python -m envpanel.bases.relock [NAME...] [--bundle DATE]`, for maintainers.

One universal resolution gives the versions for every supported Python and platform. What no supported target can use
is left out, and so are all addresses.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import platformdirs
from packaging import tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from envpanel.bases.bundle import PLATFORMS, Base, Bundle, Pin, Pins
from envpanel.engines.interface import Log
from envpanel.engines.interpreters import Interpreter
from envpanel.engines.uv import UvEngine, file_name
from envpanel.errors import EnvPanelError
from envpanel.model.nouns import PYTHONS
from envpanel.settings import Settings

_PLATFORM = re.compile(r"any|manylinux\w*_(x86_64|aarch64)|macosx_\d+_\d+_(x86_64|arm64|universal2)|win_amd64")


async def relock(base: Base, engine: UvEngine, *, bundle: str, log: Log) -> Pins:
    """The newest packages that meet the requirements of a base, for every supported Python and platform.

    Raises:
        Unsatisfiable: no set of packages meets them.
        EngineFailed: no network, or too little time.
    """
    # Any interpreter will do: uv needs one to start, and resolves for all from the oldest version on.
    interpreter = Interpreter(path=Path(sys.executable), version=platform.python_version())
    with tempfile.TemporaryDirectory(prefix="envpanel-") as folder:
        output = Path(folder) / "pylock.toml"
        await engine.compile(base.requirements, output, interpreter, PYTHONS[0], ["--universal"], log=log)
        tables = tomllib.loads(output.read_text(encoding="utf-8"))["packages"]
    pins = [pin for pin in map(_pin, tables) if pin is not None]
    pins.sort(key=lambda pin: (pin.name, Version(pin.version), pin.marker or ""))
    return Pins(bundle=bundle, python=PYTHONS, packages=tuple(pins))


def written(pins: Pins) -> str:
    """The pins as their file holds them: JSON with a package per line, for differences that can be read."""
    lines = ",\n".join(json.dumps(_plain(pin)) for pin in pins.packages)
    head = f'"bundle": {json.dumps(pins.bundle)},\n"python": {json.dumps(pins.python)}'
    return f'{{\n{head},\n"packages": [\n{lines}\n]\n}}\n'


def main(arguments: Sequence[str] | None = None, *, folder: Path | None = None) -> int:
    """The command; `folder` has other bases than the shipped ones."""
    parser = argparse.ArgumentParser(prog="python -m envpanel.bases.relock", description="Pin bundled bases anew.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a base; without any: all of them")
    parser.add_argument(
        "--bundle", type=_date, default=f"{datetime.now(UTC):%Y-%m-%d}", metavar="DATE", help="today without it"
    )
    options = parser.parse_args(arguments)
    bases = Bundle(folder) if folder is not None else Bundle.shipped()
    try:
        for name in options.names or bases.names():
            asyncio.run(_rewrite(bases.get(name), options.bundle))
    except EnvPanelError as error:
        print(error.message, *filter(None, [error.hint]), sep="\n", file=sys.stderr)
        return 1
    return 0


async def _rewrite(base: Base, bundle: str) -> None:
    # Costs a start, and only this command needs it.
    from uv import find_uv_bin

    cache = platformdirs.user_cache_path("envpanel") / "relock"
    engine = UvEngine(uv=find_uv_bin(), cache=cache, environ=os.environ, settings=Settings())
    pins = await relock(base, engine, bundle=bundle, log=lambda line: print(f"  {line}", file=sys.stderr))
    base.pins_path.write_text(written(pins), encoding="utf-8")
    print(f"{base.name}: {len(pins.packages)} pins of {bundle}")


def _date(text: str) -> str:
    return date.fromisoformat(text).isoformat()


def _pin(table: Mapping[str, Any]) -> Pin | None:
    """The pin for a package of uv's lock, or None where no supported target needs it."""
    name, version = canonicalize_name(table["name"]), table["version"]
    pin = Pin(name=name, version=version, marker=table.get("marker"), files=_files(table))
    holds = {pin.holds(target) for target in _TARGETS}
    if holds == {False}:
        return None
    # uv repeats the oldest Python in each marker; what holds for all of ours says nothing.
    return pin if False in holds else Pin(name=name, version=version, files=pin.files)


def _files(table: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    listed = {file_name(file): file["hashes"]["sha256"] for file in table.get("wheels", ())}
    fitting = {name: sha256 for name, sha256 in listed.items() if _fits(name)}
    if not fitting and "sdist" in table:
        fitting = {file_name(table["sdist"]): table["sdist"]["hashes"]["sha256"]}
    return tuple(sorted(fitting.items()))


def _fits(wheel: str) -> bool:
    try:
        _, _, _, wheel_tags = parse_wheel_filename(wheel)
    except InvalidWheelFilename:
        return False
    return any((tag.interpreter, tag.abi) in _ABIS and _PLATFORM.fullmatch(tag.platform) for tag in wheel_tags)


def _plain(pin: Pin) -> dict[str, object]:
    marker = {} if pin.marker is None else {"marker": pin.marker}
    return {"name": pin.name, "version": pin.version, **marker, "files": pin.files}


def _abis() -> frozenset[tuple[str, str]]:
    """What CPython takes: interpreter and ABI of wheels, of all supported minor versions."""
    found: set[tags.Tag] = set()
    for python in PYTHONS:
        version = [int(part) for part in python.split(".")]
        interpreter = "cp" + "".join(python.split("."))
        found.update(tags.cpython_tags(version, abis=[interpreter], platforms=["any"]))
        found.update(tags.compatible_tags(version, interpreter=interpreter, platforms=["any"]))
    return frozenset((tag.interpreter, tag.abi) for tag in found)


def _targets() -> list[dict[str, str]]:
    """The PEP 508 variables of each supported Python on each supported platform."""
    return [
        {
            **variables,
            "python_version": python,
            "python_full_version": f"{python}.0",
            "implementation_version": f"{python}.0",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            # Of this machine otherwise, and of no interest.
            "platform_release": "",
            "platform_version": "",
        }
        for python in PYTHONS
        for variables in PLATFORMS.values()
    ]


_ABIS = _abis()
_TARGETS = _targets()


if __name__ == "__main__":
    sys.exit(main())
