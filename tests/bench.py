"""Measures, side by side: clone, restore and install against uv alone on the same packages. `make bench`.

A benchmark, not a test: it prints ratios, medians of paired runs, and asserts nothing.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from uv import find_uv_bin

from envpanel.home import open_environments, prepare
from envpanel.model.change import Describe, Install
from envpanel.model.nouns import Author, Via
from envpanel.prefixes.prefix import remove_tree
from envpanel.service import Environments, Signature

RUNS = 7
BASE = "python-feature-pipeline"
BY = Signature(author=Author(username="bench", name="bench"), via=Via.CLI)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="envpanel-bench-") as folder:
        work = Path(folder)
        try:
            rows = _measure(work)
        finally:
            # Finished prefixes are read-only.
            remove_tree(work / ".envpanel")
    width = max(len(name) for name, _, _ in rows)
    print(f"\n{'':{width}}  median    uv alone  ratio (median of {RUNS} pairs)")
    for name, mine, theirs in rows:
        ratio = statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
        print(f"{name:{width}}  {statistics.median(mine):7.4f} s {statistics.median(theirs):7.4f} s  {ratio:.3f}")


def _measure(work: Path) -> list[tuple[str, list[float], list[float]]]:
    home = str(work / ".envpanel")
    prepare(home)
    environments = open_environments(home, {**os.environ, "ENVPANEL_CACHE": str(work / "user-cache")})
    print(f"Building {BASE} ...", file=sys.stderr)
    asyncio.run(environments.change("bench", environments.cloning(BASE), by=BY))
    asyncio.run(environments.build("bench"))
    asyncio.run(environments.change("bench", Install.of("cowsay"), by=BY))
    uv = _uv(environments, work)
    print(f"{len(environments.show('bench').packages)} packages, {RUNS} pairs each", file=sys.stderr)
    count = iter(range(1000))

    def clone() -> Coroutine[Any, Any, object]:
        return environments.change(f"clone-{next(count)}", environments.cloning("bench"), by=BY)

    def restore() -> Coroutine[Any, Any, object]:
        number = environments.show("bench").number - 1
        return environments.change("bench", environments.restoring("bench", number), by=BY)

    def describe() -> Coroutine[Any, Any, object]:
        return environments.change("bench", Describe(description=str(next(count))), by=BY)

    def install() -> Coroutine[Any, Any, object]:
        # A version that no prefix here has; what is linked and compiled is real each time.
        remove_tree(Path(home) / "cache" / "prefixes" / _key(environments, "one"))
        return environments.build("one")

    asyncio.run(environments.change("one", environments.cloning("bench", 1), by=BY))
    asyncio.run(environments.change("one", Install.of("cowsay"), by=BY))
    return [
        ("clone (service)", *_pairs(clone, uv)),
        ("restore (service)", *_pairs(restore, uv)),
        ("describe (service)", *_pairs(describe, uv)),
        ("one more package, all compiled", *_pairs(install, uv)),
    ]


def _key(environments: Environments, name: str) -> str:
    prefix = asyncio.run(environments.prefix(environments.show(name)))
    assert prefix is not None
    return prefix.key


def _pairs(
    mine: Callable[[], Coroutine[Any, Any, object]], theirs: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Seconds of each in turn, after a warm-up of both."""
    own, others = [], []
    for run in range(RUNS + 1):
        work = mine()
        started = time.perf_counter()
        asyncio.run(work)
        taken = time.perf_counter() - started
        other = theirs()
        if run:
            own.append(taken)
            others.append(other)
    return own, others


def _uv(environments: Environments, work: Path) -> Callable[[], float]:
    """`uv venv` and `uv pip sync` of the same files, offline from the same cache, nothing compiled."""
    record = environments.show("bench")
    lines = (
        f"{item.name}=={item.version} --hash=sha256:{item.sha256}\n" for item in environments.lock(record).packages
    )
    pins = work / "pins.txt"
    pins.write_text("".join(lines))
    cache = work / ".envpanel" / "cache" / "uv" / str(os.getuid())
    env = {**os.environ, "UV_CACHE_DIR": str(cache), "UV_OFFLINE": "1", "UV_NO_CONFIG": "1"}
    target = work / "uv-alone"
    python = Path(sys.executable).resolve()
    commands = [
        [find_uv_bin(), "venv", "--quiet", "--clear", "--python", str(python), str(target)],
        [find_uv_bin(), "pip", "sync", "--quiet", "--python", str(target / "bin" / "python"), str(pins)],
    ]

    def run() -> float:
        if target.exists():
            remove_tree(target)
        started = time.perf_counter()
        for command in commands:
            subprocess.run(command, env=env, check=True)
        return time.perf_counter() - started

    return run


if __name__ == "__main__":
    main()
