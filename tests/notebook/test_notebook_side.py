"""What lives in users' kernels: old Python, the standard library and IPython, and never in the way of a kernel."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

import envpanel
from envpanel import notebook
from envpanel.kernels import tools
from envpanel.notebook import guard

PACKAGE = Path(envpanel.__file__).parent
FILES = [PACKAGE / "__init__.py", *sorted((PACKAGE / "notebook").glob("*.py"))]


def _imported(path: Path, *, at_once: bool) -> set[str]:
    """The modules that a file imports; with `at_once` not those in functions or for types."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes: list[ast.AST] = list(tree.body) if at_once else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_is_written_for_python_3_9(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))


@pytest.mark.parametrize("minor", [9, 10, 12, 13])
def test_it_can_be_imported_by_other_pythons(minor: int, tmp_path: Path) -> None:
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    # pyenv's own programs of these names start what somebody has chosen, or nothing.
    path = [folder for folder in os.get_exec_path() if Path(folder).name != "shims"]
    path += [str(folder) for folder in pyenv.glob(f"3.{minor}.*/bin")]
    python = shutil.which(f"python3.{minor}", path=os.pathsep.join(path))
    if python is None:
        pytest.skip(f"Python 3.{minor} is not on this machine")
    folder = tools.install(tmp_path).notebook
    # Not only its syntax: what is done at import must be there, too.
    modules = ", ".join(f"envpanel.notebook.{path.stem}" for path in FILES if path.stem != "__init__")
    code = f"import sys; sys.path.append(sys.argv[1]); import {modules}; envpanel.load_ipython_extension"
    subprocess.run([python, "-I", "-c", code, str(folder)], check=True, timeout=60)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_imports_the_standard_library_ipython_and_itself_only(path: Path) -> None:
    # The panel needs ipywidgets, and a DataFrame pandas: where they are, they are the user's, and found by their names.
    allowed = {*sys.stdlib_module_names, "IPython"}
    # In a server, not in a kernel.
    server = {"envpanel.server.app"}
    for module in _imported(path, at_once=False) - server:
        assert module.split(".")[0] in allowed or module == "envpanel" or module.startswith("envpanel.notebook"), module
    at_once = {module for module in _imported(path, at_once=True) if not module.startswith("envpanel.notebook")}
    assert {module.split(".")[0] for module in at_once} <= set(sys.stdlib_module_names)


def test_importing_envpanel_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import envpanel; print(sorted(set(sys.modules) - before))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "['envpanel']"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """IPython, in a kernel as envpanel starts it."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    shims = tools.install(tmp_path / "a b").shims
    monkeypatch.setenv("PATH", f"{shims}:{os.environ['PATH']}")
    monkeypatch.setenv("ENVPANEL_PREFIX", sys.prefix)
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    monkeypatch.setenv("ENVPANEL_ENVIRONMENT", "churn")
    InteractiveShell.clear_instance()
    made = InteractiveShell.instance()
    yield made
    InteractiveShell.clear_instance()


@pytest.mark.parametrize("name", ["pip", "conda", "mamba", "uv"])
def test_the_magics_say_how_and_change_nothing(
    shell: InteractiveShell, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    if shell.find_line_magic(name) is None:
        pytest.skip(f"this IPython has no %{name}")
    notebook.load_ipython_extension(shell)
    line = "pip install nosuchthing" if name == "uv" else "install nosuchthing"
    shell.run_line_magic(name, line)
    printed = "".join(capfd.readouterr())
    assert f"{name} changes nothing in churn" in printed
    assert "envpanel install churn nosuchthing" in printed


def test_variables_of_the_notebook_are_put_in_as_before(
    shell: InteractiveShell, capfd: pytest.CaptureFixture[str]
) -> None:
    notebook.load_ipython_extension(shell)
    shell.run_cell("wanted = 'polars'\n%pip install {wanted}")
    assert "envpanel install churn polars" in "".join(capfd.readouterr())


def test_a_magic_that_ipython_does_not_have_is_not_made(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(guard._MAGICS, "nosuchmagic", "pip")
    notebook.load_ipython_extension(shell)
    assert shell.find_line_magic("nosuchmagic") is None
    assert shell.find_line_magic("pip") is not None


def test_loading_it_twice_is_loading_it_once(shell: InteractiveShell, capfd: pytest.CaptureFixture[str]) -> None:
    shell.run_line_magic("load_ext", "envpanel.notebook")
    shell.run_line_magic("load_ext", "envpanel")
    shell.run_line_magic("pip", "install nosuchthing")
    assert "".join(capfd.readouterr()).count("changes nothing") == 1


@pytest.mark.parametrize("variable", ["ENVPANEL_PREFIX", "PATH"])
def test_in_a_kernel_that_envpanel_has_not_started_the_magics_stay(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    before = shell.find_line_magic("pip")
    monkeypatch.setenv(variable, "/usr/bin:/bin")
    notebook.load_ipython_extension(shell)
    assert shell.find_line_magic("pip") == before


def test_no_failure_of_it_is_one_of_the_kernel(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("this IPython is too new")

    monkeypatch.setattr(guard, "install", broken)
    notebook.load_ipython_extension(shell)
    assert capsys.readouterr().err == "envpanel: the notebook side is not there: this IPython is too new\n"
