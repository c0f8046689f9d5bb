"""The stand-ins for pip and its like: what would install says how to do it; what looks, or aims elsewhere, goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from envpanel.kernels import tools


@dataclass
class Shell:
    """A shell in an environment. `real` is where the real programs are: they print their name and arguments."""

    shims: Path
    real: Path
    prefix: Path
    shell: str

    def add(self, *programs: str) -> None:
        for name in programs:
            path = self.real / name
            path.write_text(f'#!/bin/sh\necho real {name} "$@"\n')
            path.chmod(0o755)

    def run(self, line: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environ = {
            "PATH": f"{self.shims}:{self.prefix}/bin:{self.real}:/usr/bin:/bin",
            "VIRTUAL_ENV": str(self.prefix),
            "ENVPANEL_PREFIX": str(self.prefix),
            "ENVPANEL_ENVIRONMENT": "churn",
        }
        # The stand-in itself is what is asked for, by whatever shell the machine has as sh.
        name, _, rest = line.partition(" ")
        command = f'{self.shell} "{self.shims}/{name}" {rest}' if self.shell != "sh" else line
        return subprocess.run(
            ["/bin/sh", "-c", command],
            env={**environ, **variables},
            cwd=self.real,
            capture_output=True,
            text=True,
            timeout=30,
        )


@pytest.fixture(params=["sh", "bash"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param} here")
    prefix, real = tmp_path / "prefix with space", tmp_path / "real"
    (prefix / "bin").mkdir(parents=True)
    python = Path(os.path.realpath(sys.executable))
    (prefix / "bin" / "python").symlink_to(python)
    (prefix / "pyvenv.cfg").write_text(f"home = {python.parent}\ninclude-system-site-packages = false\n")
    info = prefix / "lib" / f"python3.{sys.version_info.minor}" / "site-packages" / "alpha-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Alpha\nVersion: 1.0\n")
    real.mkdir()
    made = Shell(tools.install(tmp_path / "cache").shims, real, prefix, request.param)
    made.add("pip", "pip3", "uv", "conda", "mamba")
    return made


INSTALLS = [
    "pip install polars",
    "pip3 install polars",
    "pip -q install --upgrade polars",
    "pip uninstall -y polars",
    "uv pip install polars",
    "uv -q pip uninstall polars",
    "uv pip sync requirements.txt",
    "uv pip install --python 3.12 polars",
    "uv add --active polars",
    "uv remove polars --active",
    "uv sync --active",
    "conda install polars",
    "conda install -y -c conda-forge polars",
    "mamba update polars",
    "conda remove polars",
]


@pytest.mark.parametrize("line", INSTALLS)
def test_what_would_change_the_environment_says_how_to_do_it(shell: Shell, line: str) -> None:
    answer = shell.run(line)
    assert (answer.returncode, answer.stdout) == (1, "")
    first, second = answer.stderr.splitlines()
    assert first.startswith(f"envpanel: {line.split()[0]} changes nothing in churn")
    assert "%env" in second
    assert "in a terminal" in second
    assert "panel" in second


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("pip install polars", "envpanel install churn polars in"),
        ("pip install -U polars 'rapidfuzz>=3' ", 'envpanel install churn polars "rapidfuzz>=3" in'),
        ("pip install -r requirements.txt", "envpanel install churn PACKAGE in"),
        ("pip install", "envpanel install churn PACKAGE in"),
        ("pip uninstall -y polars", "envpanel uninstall churn polars in"),
        ("uv pip install polars", "%envinstall polars in"),
        ("uv add --active polars", "envpanel install churn"),
        ("conda update polars", "envpanel upgrade churn polars in"),
    ],
)
def test_it_says_it_with_what_was_asked_for(shell: Shell, line: str, told: str) -> None:
    assert told in shell.run(line).stderr


@pytest.mark.parametrize(
    "line",
    [
        "pip download polars",
        "pip wheel .",
        "pip install --target lib polars",
        "pip install --prefix=/opt/x polars",
        "pip install -t lib polars",
        "uv --version",
        "uv run pytest",
        "uv tool install ruff",
        "uv venv",
        "uv python install 3.13",
        "uv add polars",
        "uv sync",
        "uv pip list",
        "uv pip compile requirements.in",
        "uv pip install --dry-run polars",
        "uv pip install --python /usr/bin/python3 polars",
        "uv pip install --target ./lib polars",
        "uv pip install --system polars",
        "conda list",
        "conda info",
        "conda create -n other polars",
        "conda install -n other polars",
        "conda install --prefix /opt/x polars",
        "mamba search polars",
    ],
)
def test_what_looks_or_aims_elsewhere_goes_on_to_the_real_program(shell: Shell, line: str) -> None:
    answer = shell.run(line)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == f"real {line}\n"


def test_the_environment_by_its_path_is_not_elsewhere(shell: Shell) -> None:
    for option in ("--python", "--prefix", "--target"):
        assert shell.run(f"uv pip install {option} '{shell.prefix}/bin/python' polars").returncode == 1
        assert shell.run(f"uv pip install {option}='{shell.prefix}' polars").returncode == 1


def test_arguments_go_on_as_they_are(shell: Shell) -> None:
    assert shell.run("uv run 'a  b' '*' ''").stdout == "real uv run a  b * \n"


@pytest.mark.parametrize("line", ["pip install polars", "uv pip install polars", "conda install polars"])
def test_another_virtual_environment_that_was_activated_is_its_own_affair(shell: Shell, line: str) -> None:
    assert shell.run(line, VIRTUAL_ENV="/home/me/.venv").stdout == f"real {line}\n"


def test_a_project_of_uv_whose_environment_is_this_one_is_refused(shell: Shell) -> None:
    assert shell.run("uv add polars", UV_PROJECT_ENVIRONMENT=str(shell.prefix)).returncode == 1


def test_listing_is_for_the_environments_own_pip_where_it_has_one(shell: Shell) -> None:
    module = shell.prefix / "lib" / "python3.11" / "site-packages" / "pip"
    module.mkdir(parents=True)
    (module / "__main__.py").write_text("")
    (shell.prefix / "bin" / "python").unlink()
    python = shell.prefix / "bin" / "python"
    python.write_text('#!/bin/sh\necho own python "$@"\n')
    python.chmod(0o755)
    assert shell.run("pip list --outdated").stdout == "own python -m pip list --outdated\n"
    assert shell.run("pip install polars").returncode == 1


def test_without_pip_in_the_environment_uv_lists_it(shell: Shell) -> None:
    for verb in ("list", "freeze", "show numpy", "check", "--version"):
        assert shell.run(f"pip {verb}").stdout == f"real uv pip {verb} --python {shell.prefix}/bin/python\n"


def test_without_pip_and_uv_its_python_lists_it_and_the_rest_is_a_sentence(shell: Shell) -> None:
    (shell.real / "uv").unlink()
    assert shell.run("pip list").stdout == "Alpha 1.0\n"
    assert shell.run("pip freeze").stdout == "Alpha==1.0\n"
    shown = shell.run("pip show alpha")
    assert shown.returncode == 1
    assert shown.stderr == "envpanel: pip is not in churn; envpanel packages churn lists what is.\n"


@pytest.mark.parametrize("name", ["uv", "conda", "mamba"])
def test_a_program_that_is_not_there_is_a_sentence(shell: Shell, name: str) -> None:
    (shell.real / name).unlink()
    answer = shell.run(f"{name} --version")
    assert answer.returncode == 127
    assert answer.stderr.startswith(f"envpanel: there is no {name} here")


def test_stand_ins_of_another_version_are_passed_over(shell: Shell, tmp_path: Path) -> None:
    """`envpanel run` inside of `envpanel run`, with another envpanel."""
    older = tmp_path / "older"
    older.mkdir()
    (older / tools.MARK).write_text("")
    (older / "uv").write_text("#!/bin/sh\necho older\n")
    (older / "uv").chmod(0o755)
    path = f"{shell.shims}:{older}:{shell.real}:{os.defpath}"
    assert shell.run("uv --version", PATH=path).stdout == "real uv --version\n"


def test_outside_of_environments_they_are_not_there(shell: Shell) -> None:
    assert shell.run("pip install polars", ENVPANEL_PREFIX="").stdout == "real pip install polars\n"
