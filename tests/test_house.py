"""The architecture is what docs/architecture.md draws: imports go down only, and every module has a place in it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "envpanel"


def _floors() -> list[list[str]]:
    """The drawing, ground floor first: each line names the modules or folders of a floor."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawing = re.search(r"```house\n(.*?)```", text, re.DOTALL)
    assert drawing is not None, "docs/architecture.md has no drawing of the house"
    return [re.findall(r"[a-z_]+/?(?=\s|$)", line.split("#")[0]) for line in drawing[1].splitlines() if line.strip()]


def _rooms() -> dict[str, int]:
    return {room: floor for floor, rooms in enumerate(_floors()) for room in rooms}


def _room(module: str) -> str:
    """The room of a module such as `envpanel.model.lock`: `model/`."""
    parts = module.split(".")
    if len(parts) == 1:
        return "__init__"
    return f"{parts[1]}/" if (PACKAGE / parts[1]).is_dir() else parts[1]


def _modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _imports(path: Path, known: set[str]) -> set[str]:
    """The modules of envpanel that a file imports, inside functions and for types too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "envpanel"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "envpanel":
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
    return found


def test_every_module_has_a_place_in_the_drawing_and_every_place_a_module() -> None:
    rooms = {_room(name) for name in _modules()} - {"__init__"}
    assert rooms == set(_rooms())


def test_imports_go_down_only() -> None:
    modules = _modules()
    rooms = _rooms()
    climbing = [
        f"{name} imports {other}"
        for name, path in modules.items()
        for other in sorted(_imports(path, set(modules)))
        if _room(name) != "__init__"
        and _room(other) not in ("__init__", _room(name))
        and rooms[_room(other)] >= rooms[_room(name)]
    ]
    assert climbing == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    modules = _modules()
    graph = {name: _imports(path, set(modules)) & set(modules) - {name} for name, path in modules.items()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"a circle: {' → '.join([*path, name])}"
        if name not in done:
            for other in graph[name]:
                visit(other, (*path, name))
            done.add(name)

    for name in modules:
        visit(name, ())


def test_only_one_module_starts_programs() -> None:
    """`process` is the door. `kernels` replace their process by what they start, which is no child of it, or have
    Jupyter start it. In a user's kernel, which has none of envpanel but the notebook side, `over_cli` is the door."""
    doors = {
        name
        for name, path in _modules().items()
        if re.search(r"\bsubprocess\b|create_subprocess|os\.(system|popen|spawn)", path.read_text(encoding="utf-8"))
    }
    assert doors == {"envpanel.process", "envpanel.notebook.over_cli"}


def test_files_name_no_registry_and_no_path_of_a_machine() -> None:
    import subprocess

    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    hosts = re.compile(
        "|".join(("py" + r"pi\.org", "python" + r"hosted\.org", "registry" + r"\.npmjs", "/ro" + "ot/", "/wo" + "rk/"))
    )
    named = []
    for name in listed.splitlines():
        path = ROOT / name
        if path.is_file():
            named += [f"{name}: {found}" for found in set(hosts.findall(path.read_text("utf-8", errors="replace")))]
    assert named == []
