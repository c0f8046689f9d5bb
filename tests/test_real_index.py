"""The main job on the real package index, on the bundled bases: as the README tells it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from envpanel.model.target import default_python

# One worker: the base is downloaded and built once.
pytestmark = pytest.mark.xdist_group("real-index")


class _Real:
    """The command line on whatever index this machine is set up for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ENVPANEL_")}
        env = {**kept, "ENVPANEL_CACHE": str(self.folder / "user-cache")}
        argv = [sys.executable, "-m", "envpanel", *arguments]
        return subprocess.run(argv, cwd=self.folder, env=env, capture_output=True, text=True, timeout=280)

    def ok(self, *arguments: str) -> Any:
        answer = self.run(*arguments, "--json")
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> _Real:
    return _Real(tmp_path_factory.mktemp("real"))


def test_the_main_job(real: _Real) -> None:
    """Clone a base, install, look, go back: what was installed is gone, and still there in the revision that had it."""
    clone = real.ok("clone", "python-feature-pipeline", "churn-features", "--description", "churn, team A")
    assert clone["base"] == {"name": "python-feature-pipeline", "revision": 1}
    assert clone["python"] == default_python()
    code = "import pandas, polars, pyarrow, duckdb, sklearn, matplotlib, requests, sqlalchemy; print(pandas.__file__)"
    imported = real.run("run", "churn-features", "--", "python", "-c", code)
    assert imported.returncode == 0, imported.stderr
    assert imported.stdout.startswith(real.ok("path", "churn-features")["path"])

    installed = real.ok("install", "churn-features", "rapidfuzz>=3", "cowsay", "-m", "fuzzy joins")
    assert [entry["name"] for entry in installed["diff"]["installed"]] == ["cowsay", "rapidfuzz"]
    assert installed["diff"]["upgraded"] == installed["diff"]["downgraded"] == installed["diff"]["uninstalled"] == []
    assert [line["number"] for line in real.ok("history", "churn-features")] == [2, 1]
    assert real.ok("diff", "churn-features", "1", "2") == installed["diff"]
    assert real.run("run", "churn-features", "--", "python", "-c", "import rapidfuzz").returncode == 0

    restored = real.ok("restore", "churn-features", "1")
    assert restored["content_id"] == clone["content_id"]
    gone = real.run("run", "churn-features", "--", "python", "-c", "import rapidfuzz")
    assert gone.returncode == 1
    assert "ModuleNotFoundError" in gone.stderr
    assert real.run("run", "churn-features@2", "--", "python", "-c", "import rapidfuzz").returncode == 0
    assert real.ok("verify") == {"checked": 4, "problems": []}

    # Nothing of a prefix can be compiled later, so all that compiles has been.
    prefix = Path(real.ok("path", "churn-features")["path"])
    modules = next(prefix.glob("lib/python3.*/site-packages")) / "pandas"
    assert {path.stem for path in modules.glob("*.py")} <= {path.name.split(".")[0] for path in modules.glob("*/*.pyc")}


def test_an_unsatisfiable_change_to_a_real_environment_names_what_is_in_the_way(real: _Real) -> None:
    real.ok("clone", "python-feature-pipeline", "fraud")
    answer = real.run("install", "fraud", "numpy<1", "--json")
    assert answer.returncode == 1
    error = json.loads(answer.stderr)
    assert error["code"] == "unsatisfiable"
    assert "numpy<1" in error["message"]
    assert len(error["message"]) < 1000
    assert real.ok("show", "fraud")["number"] == 1


def test_the_other_base_builds_and_its_packages_import(real: _Real) -> None:
    real.ok("clone", "minimal-inference-pipeline", "serving")
    code = "import fastapi, uvicorn, numpy, pydantic, joblib, ipykernel, ipywidgets"
    answer = real.run("run", "serving", "--", "python", "-c", code)
    assert answer.returncode == 0, answer.stderr


def test_a_plan_warns_of_versions_that_are_years_old(real: _Real) -> None:
    arguments = ["--group", "model-inference", "--no-kernel", "requests<2.30", "urllib3>=2", "--dry-run"]
    preview = real.ok("create", "old", *arguments)
    assert ("old-version", "requests") in {(item["code"], item["package"]) for item in preview["warnings"]}
