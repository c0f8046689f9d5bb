"""Builds and imports the bundled bases in a throw-away home, and prints sizes and times. `make bases`.

A measurement on the real index, not a test. All bases share one home and so uv's cache: the seconds of a build go from
the first command to the environment that is ready, with the downloads in them that no base before has made.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import parse_wheel_filename

from envpanel.bases.bundle import Base, Bundle
from envpanel.model import requirements
from envpanel.model.target import Target, default_python
from envpanel.prefixes.prefix import remove_tree

_NOTEBOOK = {"ipykernel": "ipykernel", "ipywidgets": "ipywidgets"}
_TABLES = {"numpy": "numpy", "pandas": "pandas"}
_BOOSTED = {"catboost": "catboost", "lightgbm": "lightgbm", "scikit-learn": "sklearn", "xgboost": "xgboost"}
_SERVICE = {"fastapi": "fastapi", "pydantic": "pydantic", "requests": "requests", "uvicorn": "uvicorn"}
_TRAINING = {"matplotlib": "matplotlib.pyplot", "optuna": "optuna", "scikit-learn": "sklearn"}
_TENSORFLOW = {"keras": "keras", "tensorflow": "tensorflow"}

PROMISES: dict[str, dict[str, str]] = {
    "python-feature-pipeline": _NOTEBOOK
    | _TABLES
    | {"duckdb": "duckdb", "matplotlib": "matplotlib.pyplot", "polars": "polars", "pyarrow": "pyarrow"}
    | {"requests": "requests", "scikit-learn": "sklearn", "sqlalchemy": "sqlalchemy"},
    "spark-feature-pipeline": _NOTEBOOK
    | _TABLES
    | {"matplotlib": "matplotlib.pyplot", "pyarrow": "pyarrow", "pyspark": "pyspark.pandas"}
    | {"requests": "requests", "scikit-learn": "sklearn", "sqlalchemy": "sqlalchemy"},
    "pandas-training-pipeline": _NOTEBOOK | _TABLES | _TRAINING | _BOOSTED | {"shap": "shap"},
    "tensorflow-training-pipeline": _NOTEBOOK | _TABLES | _TRAINING | _TENSORFLOW | {"tensorboard": "tensorboard"},
    "torch-training-pipeline": _NOTEBOOK
    | _TABLES
    | _TRAINING
    | {"lightning": "lightning", "tensorboard": "torch.utils.tensorboard", "torch": "torch"}
    | {"torchmetrics": "torchmetrics", "transformers": "transformers"},
    "minimal-inference-pipeline": _NOTEBOOK | _SERVICE | {"joblib": "joblib", "numpy": "numpy"},
    "pandas-inference-pipeline": _NOTEBOOK | _SERVICE | _TABLES | _BOOSTED,
    "tensorflow-inference-pipeline": _NOTEBOOK | _SERVICE | _TABLES | _TENSORFLOW,
    "torch-inference-pipeline": _NOTEBOOK | _SERVICE | _TABLES | {"safetensors": "safetensors", "torch": "torch"},
}
"""What each base has to have, whatever else it has: the packages, and the module that shows of each that it works."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is to be known of a base: the size of its prefix, and the seconds that building and importing took."""

    base: str
    packages: int
    mebibytes: float
    build: float
    imports: float


class _Failed(Exception):
    """A command that ended badly; says how."""


@dataclass(frozen=True, kw_only=True)
class _Home:
    """A home for all bases, with caches of its own. `find_links` is a folder of wheels, of torch without CUDA."""

    folder: Path
    find_links: Path | None

    def run(self, *arguments: str) -> str:
        """What a command of the real command line prints."""
        env = {key: value for key, value in os.environ.items() if not key.startswith("ENVPANEL_")}
        env["ENVPANEL_CACHE"] = str(self.folder / "user-cache")
        if self.find_links is not None:
            env["UV_FIND_LINKS"] = str(self.find_links)
        argv = [sys.executable, "-m", "envpanel", *arguments]
        ended = subprocess.run(argv, cwd=self.folder, env=env, capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            raise _Failed(f"envpanel {arguments[0]}: {ended.stderr.strip() or ended.returncode}")
        return ended.stdout

    def answer(self, *arguments: str) -> Any:
        """What a command prints as JSON."""
        return json.loads(self.run(*arguments, "--json"))

    def measure(self, base: Base) -> Measured:
        """Make an environment of the base, build it, import its packages, and remove what was built."""
        name = f"my-{base.name}"
        start = time.perf_counter()
        self._make(base, name)
        self.run("build", name, "--json")
        build = time.perf_counter() - start
        prefix = Path(self.answer("path", name)["path"])
        try:
            modules = ", ".join(PROMISES[base.name].values())
            code = f"import time; start = time.perf_counter(); import {modules}; print(time.perf_counter() - start)"
            imports = float(self.run("run", name, "--", "python", "-c", code).splitlines()[-1])
            packages = len(self.answer("packages", name))
            return Measured(
                base=base.name, packages=packages, mebibytes=_size(prefix) / 2**20, build=build, imports=imports
            )
        finally:
            # With the READY files that name it.
            remove_tree(prefix.parent)

    def _make(self, base: Base, name: str) -> None:
        if self.find_links is None or not any(requirements.parse(line).name == "torch" for line in base.requirements):
            self.run("clone", base.name, name, "--json")
            return
        torch = f"torch=={_cpu_version(self.find_links)}"
        others = [line for line in base.requirements if requirements.parse(line).name != "torch"]
        self.run("create", name, "--group", base.group.value, "--json", "--", torch, *others)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 where a base could not be measured."""
    parser = argparse.ArgumentParser(prog="tests/build_bases.py", description="Build and import the bundled bases.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a base; without any: all of them")
    parser.add_argument(
        "--find-links", type=Path, metavar="DIR", help="resolve bases of torch anew, with the torch X.Y.Z+cpu there"
    )
    options = parser.parse_args(arguments)
    bundle = Bundle.shipped()
    bases = [bundle.get(name) for name in options.names] or list(bundle)
    links = options.find_links.resolve() if options.find_links else None
    rows: list[Measured] = []
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="envpanel-bases-") as folder:
        home = _Home(folder=Path(folder), find_links=links)
        try:
            for base in bases:
                print(f"{base.name} ...", file=sys.stderr, flush=True)
                try:
                    rows.append(home.measure(base))
                except _Failed as error:
                    failed[base.name] = str(error)
        finally:
            # Finished prefixes are read-only.
            remove_tree(home.folder / ".envpanel")
    print(_table(rows))
    for name, reason in failed.items():
        print(f"\n{name}: {reason}")
    return 1 if failed else 0


def _table(rows: Sequence[Measured]) -> str:
    width = max((len(row.base) for row in rows), default=4)
    lines = [f"{'base':{width}}  packages    MiB  build, s  import, s"]
    lines += [
        f"{row.base:{width}}  {row.packages:8}  {row.mebibytes:5.0f}  {row.build:8.1f}  {row.imports:9.1f}"
        for row in rows
    ]
    return "\n".join(lines)


def _size(folder: Path) -> int:
    """The bytes on disk of a folder; a file with several names counts once."""
    seen: dict[tuple[int, int], int] = {}
    for path in (folder, *folder.rglob("*")):
        status = path.lstat()
        seen[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(seen.values())


def _cpu_version(folder: Path) -> str:
    """The version of the wheel of torch without CUDA in a folder, for this Python."""
    wheels = [path.name for path in folder.glob("torch-*+cpu-*.whl")]
    wheel = Target(python=default_python()).best_wheel(wheels)
    if wheel is None:
        raise _Failed(f"{folder} has no torch X.Y.Z+cpu for Python {default_python()}.")
    return str(parse_wheel_filename(wheel)[1])


if __name__ == "__main__":
    sys.exit(main())
