"""Every module is compiled once and for all, by nobody's code, and never stands beside another source."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from factories import record
from hypothesis import given
from hypothesis import settings as configured
from hypothesis import strategies as st
from uv import find_uv_bin
from wheelhouse import Distribution, Wheelhouse

from envpanel.builds import Builds
from envpanel.engines.interface import Request
from envpanel.engines.interpreters import Interpreter, Interpreters
from envpanel.engines.uv import UvEngine
from envpanel.errors import EngineFailed
from envpanel.history.ledger import Ledger
from envpanel.history.store import FolderStore
from envpanel.model.lock import Lock
from envpanel.model.nouns import Digests, Progress, Record
from envpanel.prefixes import bytecode, verify
from envpanel.prefixes.bytecode import compile_all, site_packages
from envpanel.prefixes.distributions import metadata, read_all
from envpanel.prefixes.prefix import Prefix, Prefixes
from envpanel.prefixes.tree import Entry, Tree
from envpanel.settings import Settings

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
REAL = os.path.realpath(sys.executable)
ENV = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}


def bare(directory: Path, modules: Mapping[str, str] | None = None) -> Path:
    """A virtual environment with these files in its site-packages."""
    site = directory / "lib" / f"python{PYTHON}" / "site-packages"
    site.mkdir(parents=True)
    (directory / "bin").mkdir()
    (directory / "bin" / "python").symlink_to(REAL)
    (directory / "pyvenv.cfg").write_text(f"home = {os.path.dirname(REAL)}\nversion = {platform.python_version()}\n")
    write(site, modules or {})
    return directory


def write(site: Path, modules: Mapping[str, str]) -> None:
    for path, text in modules.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)


def add(prefix: Path, name: str, modules: Mapping[str, str], version: str = "1.0") -> None:
    """A distribution as an installer leaves it: its modules, and a RECORD of them."""
    site = site_packages(prefix)
    write(site, modules)
    info = f"{name}-{version}.dist-info"
    write(site, {f"{info}/RECORD": "".join(f"{path},,\n" for path in [*modules, f"{info}/RECORD"])})


def compiled(prefix: Path) -> tuple[list[Progress], list[str]]:
    seen: list[Progress] = []
    lines: list[str] = []
    asyncio.run(compile_all(Tree.scan(prefix), env=ENV, pass_fds=(), report=seen.append, log=lines.append))
    return seen, lines


def take_over(parent: Path, prefix: Path, distributions: Iterable[str]) -> int:
    tree = Tree.scan(prefix)
    linked = bytecode.take_over(parent, read_all(metadata(parent)), tree, read_all(tree), distributions)
    assert tree.entries == Tree.scan(prefix).entries
    return linked


def cached(prefix: Path, module: str) -> Path:
    return Path(importlib.util.cache_from_source(str(site_packages(prefix) / module)))


def all_cached(prefix: Path) -> set[str]:
    root = site_packages(prefix)
    return {str(path.relative_to(root)) for path in root.rglob("*.pyc")}


def output(prefix: Path, code: str) -> str:
    return subprocess.check_output([prefix / "bin" / "python", "-c", code], text=True).strip()


def is_unchecked(path: Path) -> bool:
    """Hash-based, and never compared with the source (PEP 552)."""
    return int.from_bytes(path.read_bytes()[4:8], "little") == 0b01


# Compiling


@pytest.mark.parametrize("count", [3, 120], ids=["few", "many"])
def test_every_module_gets_an_unchecked_pyc(tmp_path: Path, count: int) -> None:
    modules = {f"package/inner_{number % 3}/part_{number}.py": f"PART = {number}\n" for number in range(count)}
    prefix = bare(tmp_path / "prefix", {"single.py": "x = 1\n", "package/__init__.py": "", **modules})
    compiled(prefix)
    for module in ("single.py", "package/__init__.py", *modules):
        assert is_unchecked(cached(prefix, module)), module
    assert output(prefix, "import package.inner_1.part_1 as part; print(part.PART, part.__cached__)") == (
        f"1 {cached(prefix, 'package/inner_1/part_1.py')}"
    )


def test_a_compiled_module_needs_no_compiling_at_import(tmp_path: Path) -> None:
    prefix = bare(tmp_path / "prefix", {"single.py": "x = 1\n"})
    compiled(prefix)
    before = cached(prefix, "single.py").stat().st_mtime_ns
    os.utime(site_packages(prefix) / "single.py", (1, 1))
    assert output(prefix, "import single; print(single.x)") == "1"
    assert cached(prefix, "single.py").stat().st_mtime_ns == before


BROKEN = {
    "syntax": "def f(:\n",
    "template": "{{ name }} = {{ value }}\n",
    "other Python": "print 'two'\n",
    "null": "x = 1\0\n",
    "coding": "# coding: no-such-coding\nx = 1\n",
    "deep": "x = " + "(" * 5000 + ")" * 5000 + "\n",
    "long": "x = " + "-" * 100_000 + "1\n",
    "warning": "x = 'a\\d' is 'b'\n",
}


@pytest.mark.parametrize("around", [2, 80], ids=["few", "many"])
def test_what_does_not_compile_is_left_and_does_no_harm(tmp_path: Path, around: int) -> None:
    modules = {f"good_{number}.py": "x = 1\n" for number in range(around)}
    prefix = bare(tmp_path / "prefix", modules)
    for name, text in BROKEN.items():
        write(site_packages(prefix), {f"{name}.py": text})
    (site_packages(prefix) / "latin.py").write_bytes(b"x = '\xff'\n")
    compiled(prefix)
    assert all(is_unchecked(cached(prefix, module)) for module in modules)
    assert (site_packages(prefix) / "syntax.py").read_text() == BROKEN["syntax"]
    assert not any(cached(prefix, f"{name}.py").exists() for name in ("syntax", "template", "null", "latin"))
    assert output(prefix, "import good_1; print(good_1.x)") == "1"


def plant(site: Path, kind: str) -> None:
    match kind:
        case "a link to nothing":
            (site / "odd.py").symlink_to(site / "absent.py")
        case "a folder":
            (site / "odd.py").mkdir()
        case "a name without room for more":
            (site / f"{'o' * 250}.py").write_text("x = 1\n")
        case "no folder for bytecode":
            write(site, {"odd/m.py": "", "odd/__pycache__": ""})


@pytest.mark.parametrize(
    "kind", ["a link to nothing", "a folder", "a name without room for more", "no folder for bytecode"]
)
def test_odd_entries_are_left_and_do_no_harm(tmp_path: Path, kind: str) -> None:
    prefix = bare(tmp_path / "prefix", {"good.py": "x = 1\n"})
    plant(site_packages(prefix), kind)
    compiled(prefix)
    assert is_unchecked(cached(prefix, "good.py"))


def test_what_is_compiled_already_is_not_touched(tmp_path: Path) -> None:
    prefix = bare(tmp_path / "prefix", {"a.py": "x = 1\n"})
    compiled(prefix)
    cached(prefix, "a.py").write_bytes(b"as it was")
    write(site_packages(prefix), {"b.py": "x = 1\n"})
    compiled(prefix)
    assert cached(prefix, "a.py").read_bytes() == b"as it was"
    assert is_unchecked(cached(prefix, "b.py"))


def test_an_environment_without_packages_compiles(tmp_path: Path) -> None:
    seen, _ = compiled(bare(tmp_path / "prefix"))
    assert seen == []


def test_files_are_counted_up_to_all(tmp_path: Path) -> None:
    modules = {f"m_{number}.py": "x = 1\n" for number in range(130)}
    seen, lines = compiled(bare(tmp_path / "prefix", modules))
    assert {(step.phase, step.unit, step.total) for step in seen} == {("compiling", "files", 130)}
    assert [step.done for step in seen] == sorted(step.done for step in seen)
    assert len(seen) > 2
    assert seen[-1].done == 130
    assert not any("compiled" in line for line in lines)


def test_nothing_of_the_packages_runs_while_they_are_compiled(tmp_path: Path) -> None:
    mark = f"open({str(tmp_path / 'ran')!r}, 'a').write(__name__ + '\\n')\n"
    modules = {f"m_{number}.py": "x = 1\n" for number in range(80)}
    names = ("sitecustomize", "usercustomize", "multiprocessing", "py_compile", "importlib", "contextlib", "encodings")
    prefix = bare(tmp_path / "prefix", {**modules, **{f"{name}.py": mark for name in names}, "m_0.py": mark})
    write(site_packages(prefix), {"evil.pth": f"import os; {mark}", "__init__.py": mark})
    compiled(prefix)
    assert not (tmp_path / "ran").exists()
    assert is_unchecked(cached(prefix, "sitecustomize.py"))
    output(prefix, "pass")
    assert (tmp_path / "ran").exists(), "the control: it runs where it may"


def test_variables_of_the_caller_do_not_reach_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = bare(tmp_path / "prefix", {"a.py": "x = 1\n"})
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")
    compiled(prefix)
    assert not (tmp_path / "elsewhere").exists()
    assert len(all_cached(prefix)) == 1


def test_an_interpreter_that_does_not_run_gives_a_sentence(tmp_path: Path) -> None:
    prefix = bare(tmp_path / "prefix", {"a.py": "x = 1\n"})
    (prefix / "bin" / "python").unlink()
    (prefix / "bin" / "python").symlink_to("/bin/false")
    with pytest.raises(EngineFailed, match="could not be compiled"):
        compiled(prefix)


# Taking over


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    prefix = bare(tmp_path / "parent")
    add(prefix, "alpha", {"alpha/__init__.py": "V = 1\n", "alpha/inner/deep.py": "D = 1\n"})
    add(prefix, "beta", {"beta.py": "V = 1\n"})
    add(prefix, "Dashed_Name", {"dashed_name.py": "V = 1\n"})
    compiled(prefix)
    return prefix


@pytest.fixture
def child(tmp_path: Path) -> Path:
    prefix = bare(tmp_path / "child")
    add(prefix, "alpha", {"alpha/__init__.py": "V = 1\n", "alpha/inner/deep.py": "D = 1\n"})
    add(prefix, "beta", {"beta.py": "V = 2\n"}, "2.0")
    add(prefix, "Dashed_Name", {"dashed_name.py": "V = 1\n"})
    return prefix


def test_bytecode_is_taken_over_for_the_named_distributions_only(parent: Path, child: Path) -> None:
    assert take_over(parent, child, ["alpha", "dashed-name"]) == 3
    for module in ("alpha/__init__.py", "alpha/inner/deep.py", "dashed_name.py"):
        assert cached(child, module).samefile(cached(parent, module))
    assert not cached(child, "beta.py").exists()


def test_what_was_not_taken_over_is_compiled(parent: Path, child: Path) -> None:
    take_over(parent, child, ["alpha"])
    seen, _ = compiled(child)
    assert seen[-1].total == 2
    assert output(child, "import alpha, beta; print(alpha.V, beta.V)") == "1 2"


def test_a_distribution_that_is_not_there_is_no_hindrance(parent: Path, child: Path) -> None:
    assert take_over(parent, child, ["absent", "alpha"]) == 2


def test_what_the_parent_did_not_compile_is_not_taken_over(parent: Path, child: Path) -> None:
    cached(parent, "alpha/__init__.py").unlink()
    assert take_over(parent, child, ["alpha"]) == 1
    compiled(child)
    assert is_unchecked(cached(child, "alpha/__init__.py"))


def test_bytecode_of_another_python_is_not_taken_over(parent: Path, child: Path) -> None:
    (parent / "lib" / f"python{PYTHON}").rename(parent / "lib" / "python3.9")
    assert take_over(parent, child, ["alpha", "beta"]) == 0
    assert all_cached(child) == set()


def test_nothing_is_taken_over_from_what_is_no_environment(tmp_path: Path, child: Path) -> None:
    assert take_over(tmp_path / "absent", child, ["alpha"]) == 0
    assert all_cached(child) == set()


def test_of_what_the_parent_lists_the_hash_is_believed_and_nothing_else_is_taken(parent: Path, child: Path) -> None:
    """Else the hash of a .pyc that somebody wrote to in the meantime would be taken for right."""
    path = cached(parent, "alpha/__init__.py").relative_to(parent).as_posix()
    listed = {path: Entry(0o444, "file", 7, "a" * 64)}
    tree = Tree.scan(child)
    theirs, ours = read_all(metadata(parent)), read_all(tree)
    assert bytecode.take_over(parent, theirs, tree, ours, ["alpha"], listed=listed) == 1
    assert json.loads(verify.manifest(tree))[path] == [0o444, "file", 7, "a" * 64]
    assert not cached(child, "alpha/inner/deep.py").exists()


@pytest.mark.parametrize("path", ["../../../../outside.py", "/outside.py", "x/../../outside.py", "..", "alpha/.."])
def test_a_record_that_points_outside_links_nothing_there(parent: Path, child: Path, tmp_path: Path, path: str) -> None:
    for prefix in (parent, child):
        write(site_packages(prefix), {"alpha-1.0.dist-info/RECORD": f"{path},,\nalpha/__init__.py,,\n"})
    before = set(tmp_path.rglob("*"))
    assert take_over(parent, child, ["alpha"]) == 1
    assert {new.name for new in set(tmp_path.rglob("*")) - before} == {
        "__pycache__",
        cached(child, "alpha/__init__.py").name,
    }


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'"unclosed', b"\n\n,,\n"])
def test_a_record_of_rubbish_takes_nothing_over(parent: Path, child: Path, content: bytes) -> None:
    (site_packages(child) / "alpha-1.0.dist-info" / "RECORD").write_bytes(content)
    assert take_over(parent, child, ["alpha"]) == 0


def test_a_module_that_two_distributions_bring_runs_as_its_source_says(tmp_path: Path) -> None:
    """In the parent the file may have been the other's: an unchecked .pyc of it would run the old code."""
    parent, child = bare(tmp_path / "parent"), bare(tmp_path / "child")
    add(parent, "alpha", {"shared.py": "V = 'of alpha'\n"})
    add(parent, "beta", {"shared.py": "V = 'of beta 1'\n"})
    compiled(parent)
    add(child, "alpha", {"shared.py": "V = 'of alpha'\n"})
    add(child, "beta", {"shared.py": "V = 'of beta 2'\n"}, "2.0")
    take_over(parent, child, ["alpha"])
    compiled(child)
    assert output(child, "import shared; print(shared.V)") == "of beta 2"


distributions = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(["1.0", "2.0"]))


@given(old=distributions, new=distributions)
@configured(max_examples=15, deadline=None)
def test_after_any_change_every_module_runs_as_its_source_says(
    tmp_path_factory: pytest.TempPathFactory, old: dict[str, str], new: dict[str, str]
) -> None:
    folder = tmp_path_factory.mktemp("change")
    before, after = bare(folder / "old"), bare(folder / "new")
    for prefix, versions in ((before, old), (after, new)):
        for dist, version in versions.items():
            add(prefix, dist, {f"{dist}.py": f"V = {version!r}\n"}, version)
    compiled(before)
    take_over(before, after, [dist for dist in new if old.get(dist) == new[dist]])
    compiled(after)
    code = f"print({{name: __import__(name).V for name in {sorted(new)!r}}} == {new!r})"
    assert output(after, code) == "True"
    assert len(all_cached(after)) == len(new)


# Through a build, with real packages


class Machine:
    """Builds with the real uv on an index of its own."""

    def __init__(self, folder: Path) -> None:
        self.house = Wheelhouse(folder / "house")
        self.ledger = Ledger(FolderStore(folder / "home"))
        self.prefixes = Prefixes(folder / "cache" / "prefixes")
        interpreters = Interpreters(find_uv_bin(), {})
        self.interpreter: Interpreter = asyncio.run(interpreters.find(PYTHON))
        environ = {"HOME": str(folder), "UV_DEFAULT_INDEX": self.house.url}
        self.engine = UvEngine(uv=find_uv_bin(), cache=folder / "uv", environ=environ, settings=Settings())
        self.builds = Builds(
            ledger=self.ledger,
            prefixes=self.prefixes,
            engine=self.engine,
            interpreters=interpreters,
            cache=folder / "cache",
        )

    def lock(self, *lines: str) -> Lock:
        self.house.write()
        asked = Request(requirements=lines, python=PYTHON)
        resolving = self.engine.resolve(asked, self.interpreter, report=lambda _: None, log=lambda _: None)
        return asyncio.run(resolving).lock

    def build(self, lock: Lock, parent: Record | None = None) -> Prefix:
        content = lock.content_id()
        ensuring = self.builds.ensure(content, lock, parent=parent, report=lambda _: None, log=lambda _: None)
        return asyncio.run(ensuring)

    def revision(self, lock: Lock) -> Record:
        digest = self.ledger.put_blob(lock.to_toml().encode())
        return record(
            python=PYTHON,
            platform=lock.platform,
            content_id=lock.content_id(),
            digests=Digests(lock=digest, yaml=digest),
        )


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    for version in ("1.0", "2.0"):
        modules = {"alpha/__init__.py": f"V = '{version}'\n", "alpha/inner.py": f"W = '{version}'\n"}
        machine.house.add(Distribution(name="alpha", version=version, modules=modules))
    machine.house.add(Distribution(name="beta", version="1.0"))
    yield machine


SAY = "import alpha, alpha.inner, beta; print(alpha.V, alpha.inner.W, beta.__version__)"


def test_an_upgraded_package_runs_its_new_code_and_the_others_keep_their_bytecode(machine: Machine) -> None:
    old, new = machine.lock("alpha<2", "beta"), machine.lock("alpha", "beta")
    first = machine.build(old)
    assert output(first.path, SAY) == "1.0 1.0 1.0"
    second = machine.build(new, machine.revision(old))
    assert output(second.path, SAY) == "2.0 2.0 1.0"
    assert cached(second.path, "beta/__init__.py").samefile(cached(first.path, "beta/__init__.py"))
    assert not cached(second.path, "alpha/inner.py").samefile(cached(first.path, "alpha/inner.py"))


def test_another_file_of_the_same_version_runs_its_own_code(machine: Machine) -> None:
    old = machine.lock("alpha<2", "beta")
    machine.build(old)
    rebuilt = Distribution(
        name="alpha", version="1.0", modules={"alpha/__init__.py": "V = 9\n", "alpha/inner.py": "W = 9\n"}
    )
    machine.house.add(rebuilt)
    new = machine.lock("alpha<2", "beta")
    assert new.versions == old.versions
    second = machine.build(new, machine.revision(old))
    assert output(second.path, SAY) == "9 9 1.0"


def test_nothing_is_taken_over_from_a_revision_with_commands(machine: Machine) -> None:
    """Its scripts may have changed any source."""
    old, new = machine.lock("alpha<2", "beta"), machine.lock("alpha", "beta")
    first, parent = machine.build(old), machine.revision(old)
    second = machine.build(new, replace(parent, digests=replace(parent.digests, commands="0" * 64)))
    assert not cached(second.path, "beta/__init__.py").samefile(cached(first.path, "beta/__init__.py"))


def test_a_parent_that_is_not_built_here_or_damaged_is_no_hindrance(machine: Machine) -> None:
    old, new = machine.lock("alpha<2", "beta"), machine.lock("alpha", "beta")
    assert output(machine.build(new, machine.revision(old)).path, SAY) == "2.0 2.0 1.0"
    damaged = machine.build(old)
    damaged.bin.chmod(0o755)
    damaged.python.unlink()
    machine.house.add(Distribution(name="gamma", version="1.0"))
    third = machine.build(machine.lock("alpha", "beta", "gamma"), machine.revision(old))
    assert output(third.path, SAY) == "2.0 2.0 1.0"


def test_every_module_of_a_build_is_compiled_and_read_only(machine: Machine) -> None:
    prefix = machine.build(machine.lock("alpha", "beta"))
    site = site_packages(prefix.path)
    for source in site.rglob("*.py"):
        found = Path(importlib.util.cache_from_source(str(source)))
        assert is_unchecked(found)
        assert found.stat().st_mode & 0o222 == 0
