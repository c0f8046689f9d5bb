"""Whatever is changed in a finished prefix is found, an untouched one is left in peace, and nothing in it runs."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import random
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from uv import find_uv_bin
from wheelhouse import Distribution, Wheelhouse

from envpanel.builds import Builds
from envpanel.engines.interface import Request
from envpanel.engines.interpreters import Interpreters
from envpanel.engines.uv import UvEngine
from envpanel.history.ledger import Ledger
from envpanel.history.store import FolderStore
from envpanel.model.target import default_python
from envpanel.prefixes import verify
from envpanel.prefixes.bytecode import site_packages
from envpanel.prefixes.prefix import Prefix, Prefixes
from envpanel.prefixes.tree import Tree
from envpanel.prefixes.verify import Damage
from envpanel.settings import Settings

MARK = "ENVPANEL_TEST_VERIFY_RAN"
RUNS = f"import os; os.environ[{MARK!r}] = '1'"

PACKAGES = (
    Distribution(
        name="Alpha.Beta",
        version="1.0",
        modules={"alpha/__init__.py": f"{RUNS}\n", "alpha/deep/er.py": "x = 1\n", "alpha/data.bin": "x" * 300_000},
        scripts={"alpha-run": "alpha:main"},
    ),
    Distribution(name="gamma", version="2.0+cpu.1", data_scripts={"gamma-tool": "#!python\nprint(1)\n"}),
    Distribution(name="hooks", version="3.0", modules={"hooks.pth": f"{RUNS}\n", "sitecustomize.py": f"{RUNS}\n"}),
    # Two distributions bring one module, as it happens.
    Distribution(name="one", version="1.0", modules={"shared/__init__.py": "which = 1\n", "shared/one.py": ""}),
    Distribution(name="two", version="1.0", modules={"shared/__init__.py": "which = 2\n", "shared/two.py": ""}),
)
WANTED = {"alpha-beta": "1.0", "gamma": "2.0+cpu.1", "hooks": "3.0", "one": "1.0", "two": "1.0"}


def build(root: Path) -> Prefix:
    """A prefix as users get it: uv installs it, everything is compiled, it is published."""
    house = Wheelhouse(root / "house").add(*PACKAGES).write()
    engine = UvEngine(
        uv=find_uv_bin(),
        cache=root / "uv",
        environ={"HOME": str(root), "UV_DEFAULT_INDEX": house.url},
        settings=Settings(),
    )
    interpreters = Interpreters(find_uv_bin(), os.environ)
    builds = Builds(
        ledger=Ledger(FolderStore(root / "home")),
        prefixes=Prefixes(root / "cache" / "prefixes"),
        engine=engine,
        interpreters=interpreters,
        cache=root / "cache",
    )

    async def all_of_it() -> Prefix:
        request = Request(requirements=tuple(WANTED), python=default_python())
        interpreter = await interpreters.find(request.python)
        resolved = await engine.resolve(request, interpreter, report=lambda _: None, log=lambda _: None)
        assert resolved.lock.versions == WANTED
        lock = resolved.lock
        return await builds.ensure(lock.content_id(), lock, report=lambda _: None, log=lambda _: None)

    return asyncio.run(all_of_it())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Prefix:
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture
def prefix(built: Prefix, tmp_path: Path) -> Prefix:
    """A copy of one's own, to damage."""
    path = tmp_path / built.path.name
    shutil.copytree(built.path, path, symlinks=True)
    shutil.copy(verify.manifest_path(built.path), tmp_path)
    return replace(built, path=path)


def check(prefix: Prefix) -> list[Damage]:
    return verify.check(prefix.path, WANTED, manifest=prefix.manifest)


def without_manifest(prefix: Prefix) -> Prefix:
    """As an older envpanel left it."""
    verify.manifest_path(prefix.path).unlink()
    return replace(prefix, manifest=None)


def told(damages: list[Damage]) -> list[tuple[str, str]]:
    return [(damage.path, damage.what) for damage in damages]


@contextmanager
def writable(*paths: Path) -> Iterator[None]:
    """As the owner may always do; the modes are as before afterwards."""
    before = [(path, stat.S_IMODE(path.stat().st_mode)) for path in paths]
    for path, mode in before:
        path.chmod(mode | 0o200)
    try:
        yield
    finally:
        for path, mode in before:
            if path.exists():
                path.chmod(mode)


def overwrite(path: Path, data: bytes) -> None:
    with writable(path):
        path.write_bytes(data)


def add(path: Path, data: bytes = b"") -> None:
    with writable(path.parent):
        path.write_bytes(data)
        path.chmod(0o444)


def remove(path: Path) -> None:
    with writable(path.parent):
        path.unlink()


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def site(prefix: Prefix) -> Path:
    return site_packages(prefix.path)


def name_in(prefix: Prefix, path: Path) -> str:
    return path.relative_to(prefix.path).as_posix()


# What is found


def test_an_untouched_prefix_has_no_damage(built: Prefix, prefix: Prefix) -> None:
    assert built.manifest is not None
    assert check(built) == []
    assert check(prefix) == []
    assert check(without_manifest(prefix)) == []


def test_a_bit_flipped_anywhere_is_found(prefix: Prefix) -> None:
    seed = random.Random(11)
    candidates = [path for path in files(prefix.path) if path.stat().st_size]
    kinds = {path.suffix for path in candidates} | {path.name for path in candidates}
    assert {".pyc", ".py", ".cfg", "RECORD", "INSTALLER", "activate", "alpha-run", "gamma-tool"} <= kinds
    for path in candidates:
        path.chmod(path.stat().st_mode | 0o200)
    for turn in range(1000):
        path = candidates[turn] if turn < len(candidates) else seed.choice(candidates)
        content = path.read_bytes()
        position, bit = seed.randrange(len(content)), 1 << seed.randrange(8)
        flipped = bytearray(content)
        flipped[position] ^= bit
        path.write_bytes(flipped)
        changed = [path for path, what in told(check(prefix)) if what == "changed"]
        assert changed == [name_in(prefix, path)], f"byte {position}, bit {bit}"
        path.write_bytes(content)
    for path in candidates:
        path.chmod(path.stat().st_mode & ~0o200)
    assert check(prefix) == []


def test_a_bit_flipped_in_what_a_record_hashes_is_found_without_a_manifest(prefix: Prefix) -> None:
    path = site(prefix) / "alpha" / "deep" / "er.py"
    old = without_manifest(prefix)
    overwrite(path, b"x = 3\n")
    assert told(check(old)) == [(name_in(prefix, path), "changed")]
    overwrite(path, b"x = 1\n")
    remove(prefix.bin / "alpha-run")
    assert told(check(old)) == [("bin/alpha-run", "missing")]


def test_every_file_or_link_that_is_missing_is_found(prefix: Prefix) -> None:
    for path in sorted(prefix.path.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        aside = prefix.path.parent / "aside"
        with writable(path.parent):
            path.rename(aside)
            lost = check(prefix)
            aside.rename(path)
        shown = name_in(prefix, path)
        expected = "interpreter" if shown == "bin/python" else "missing"
        assert expected in [damage.what for damage in lost if damage.path == shown], shown
    assert check(prefix) == []


def test_a_folder_that_is_missing_is_told_once_and_whose_it_was(prefix: Prefix) -> None:
    folder = site(prefix) / "alpha"
    with writable(folder.parent, folder, *(path for path in folder.rglob("*") if path.is_dir())):
        shutil.rmtree(folder)
    (damage,) = check(prefix)
    assert (damage.path, damage.what, damage.package) == (name_in(prefix, folder), "missing", "alpha-beta")


@pytest.mark.parametrize("name", ["evil.py", ".hidden", "line\nbreak", os.fsdecode(b"\xff\xfe"), "alpha/__pycache__/x"])
def test_a_file_that_was_added_is_found_whatever_it_is_called(prefix: Prefix, name: str) -> None:
    add(site(prefix) / name)
    (damage,) = check(prefix)
    assert damage.what == "extra"
    assert damage.path.isprintable()
    assert damage.message.isprintable()


def test_a_folder_that_was_added_is_told_once(prefix: Prefix) -> None:
    with writable(site(prefix)):
        (site(prefix) / "evil" / "inner").mkdir(parents=True)
        for number in range(20):
            (site(prefix) / "evil" / f"{number}.py").write_text("")
        Tree.scan(site(prefix) / "evil").protect()
    assert told(check(prefix)) == [(name_in(prefix, site(prefix) / "evil"), "extra")]


def test_a_file_cut_short_or_appended_to_is_found(prefix: Prefix) -> None:
    path = site(prefix) / "alpha" / "data.bin"
    overwrite(path, path.read_bytes()[:-1])
    (damage,) = check(prefix)
    assert (damage.what, damage.package) == ("changed", "alpha-beta")
    assert "299999 bytes instead of 300000" in damage.message
    overwrite(path, b"x" * 300_001)
    assert told(check(prefix)) == [(name_in(prefix, path), "changed")]


def test_a_folder_in_the_place_of_a_link_is_told_once(prefix: Prefix) -> None:
    with writable(prefix.path):
        (prefix.path / "lib64").unlink()
        shutil.copytree(prefix.path / "lib", prefix.path / "lib64", symlinks=True)
    assert told(check(prefix)) == [("lib64", "changed")]


@pytest.mark.parametrize("name", ["bin/python3", "lib64", "bin/python"])
def test_a_link_that_points_elsewhere_is_found(prefix: Prefix, tmp_path: Path, name: str) -> None:
    path = prefix.path / name
    with writable(path.parent):
        path.unlink()
        path.symlink_to(tmp_path)
    assert told(check(prefix)) == [(name, "interpreter" if name == "bin/python" else "changed")]


def test_a_file_replaced_by_a_link_to_the_same_content_is_found(prefix: Prefix, tmp_path: Path) -> None:
    path = site(prefix) / "alpha" / "deep" / "er.py"
    shutil.copy(path, tmp_path / "er.py")
    with writable(path.parent):
        path.unlink()
        path.symlink_to(tmp_path / "er.py")
    shown = name_in(prefix, path)
    assert told(check(prefix)) == [(shown, "changed")]
    assert told(check(without_manifest(prefix))) == [(shown, "changed")]


@pytest.mark.parametrize("manifest", [True, False])
@pytest.mark.parametrize("bit", [0o200, 0o020, 0o002], ids=oct)
def test_what_can_be_written_is_found(prefix: Prefix, bit: int, manifest: bool) -> None:
    checked = prefix if manifest else without_manifest(prefix)
    for path in (prefix.path / "pyvenv.cfg", prefix.bin, site(prefix) / "alpha" / "__init__.py"):
        before = stat.S_IMODE(path.stat().st_mode)
        path.chmod(before | bit)
        assert told(check(checked)) == [(name_in(prefix, path), "writable")]
        path.chmod(before)


def test_a_script_that_can_no_longer_be_run_or_runs_as_its_owner_is_found(prefix: Prefix) -> None:
    for mode in (0o444, 0o4555):
        (prefix.bin / "alpha-run").chmod(mode)
        assert told(check(prefix)) == [("bin/alpha-run", "changed")]


def test_who_may_read_besides_the_owner_is_no_damage(prefix: Prefix) -> None:
    """It follows the folder of all prefixes, and files are shared with other prefixes."""
    Tree.scan(prefix.path).protect(0o700)
    assert check(prefix) == []


def test_a_change_through_the_cache_of_uv_is_found(tmp_path: Path) -> None:
    """Hard links: one appended line reaches every environment that has the file."""
    prefix = build(tmp_path)
    path = site(prefix) / "alpha" / "deep" / "er.py"
    twins = [twin for twin in files(tmp_path / "uv") if twin.samefile(path)]
    if not twins:
        pytest.skip("uv copies here: no hard links between these folders")
    with writable(twins[0]), twins[0].open("a") as file:
        file.write("x = 2\n")
    (damage,) = check(prefix)
    assert (damage.path, damage.what, damage.package) == (name_in(prefix, path), "changed", "alpha-beta")


def test_what_was_wrong_before_it_was_published_is_found(tmp_path: Path) -> None:
    """uv does not compare files with their RECORD: a damaged cache would go on damaging."""
    prefix = build(tmp_path)
    path = site(prefix) / "alpha" / "deep" / "er.py"
    overwrite(path, b"x = 9\n")
    data = verify.manifest(Tree.scan(prefix.path))
    with writable(verify.manifest_path(prefix.path)):
        verify.manifest_path(prefix.path).write_bytes(data)
    again = replace(prefix, manifest=hashlib.sha256(data).hexdigest())
    assert told(check(again)) == [(name_in(prefix, path), "changed")]


# The manifest itself


def test_the_same_tree_gives_the_same_manifest(built: Prefix) -> None:
    data = verify.manifest_path(built.path).read_bytes()
    assert verify.manifest(Tree.scan(built.path)) == data


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"a":1}', b'{"a":[]}', b"[" * 100_000])
@pytest.mark.parametrize("digest_fits", [True, False])
def test_a_manifest_of_rubbish_is_told_and_the_records_are_used(
    prefix: Prefix, content: bytes, digest_fits: bool
) -> None:
    overwrite(verify.manifest_path(prefix.path), content)
    if digest_fits:
        prefix = replace(prefix, manifest=hashlib.sha256(content).hexdigest())
    if content == b"{}" and digest_fits:
        assert check(prefix)
        return
    overwrite(site(prefix) / "alpha" / "deep" / "er.py", b"x = 3\n")
    shown = f"../{prefix.path.name}.manifest.json"
    assert told(check(prefix)) == [
        (shown, "changed"),
        (name_in(prefix, site(prefix) / "alpha" / "deep" / "er.py"), "changed"),
    ]


def test_a_manifest_that_is_gone_or_that_ready_does_not_name_is_told(prefix: Prefix) -> None:
    shown = f"../{prefix.path.name}.manifest.json"
    assert told(check(replace(prefix, manifest=None))) == [(shown, "changed")]
    verify.manifest_path(prefix.path).unlink()
    assert told(check(prefix)) == [(shown, "missing")]


# Packages and the interpreter


def test_packages_that_are_missing_or_do_not_belong_here_are_told(built: Prefix) -> None:
    wanted = {**WANTED, "delta": "1.0", "gamma": "2.1"}
    del wanted["one"]
    found = verify.check(built.path, wanted, manifest=built.manifest)
    assert {(damage.what, damage.package) for damage in found} == {
        ("package", "delta"),
        ("package", "gamma"),
        ("package", "one"),
    }
    assert {damage.message for damage in found} == {
        "delta 1.0 is not installed.",
        "gamma 2.0+cpu.1 is there instead of 2.1.",
        "one 1.0 is there and does not belong here.",
    }


def test_a_package_that_is_there_twice_is_told(prefix: Prefix) -> None:
    old = without_manifest(prefix)
    info = site(prefix) / "one-0.9.dist-info"
    with writable(site(prefix)):
        info.mkdir()
        (info / "RECORD").write_text("")
        Tree.scan(info).protect()
    (damage,) = check(old)
    assert (damage.what, damage.message) == ("package", "one 0.9 is there besides 1.0.")


def test_a_dist_info_without_record_is_told(prefix: Prefix) -> None:
    old = without_manifest(prefix)
    remove(site(prefix) / "Alpha_Beta-1.0.dist-info" / "RECORD")
    (damage,) = check(old)
    assert (damage.what, damage.package) == ("missing", "alpha-beta")


@pytest.mark.parametrize("home", ["home = /nowhere\n", "", "\udcff"])
def test_a_home_that_is_not_that_of_the_interpreter_is_told(prefix: Prefix, home: str) -> None:
    old = without_manifest(prefix)
    overwrite(prefix.path / "pyvenv.cfg", os.fsencode(home))
    assert told(check(old)) == [("bin/python", "interpreter")]


def test_an_interpreter_that_is_gone_a_file_or_a_circle_is_told(prefix: Prefix, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    overwrite(prefix.path / "pyvenv.cfg", f"home = {home}\n".encode())
    old = without_manifest(prefix)
    for plant in (
        lambda: prefix.python.symlink_to(home / "python3"),
        lambda: prefix.python.symlink_to("python3"),
        lambda: prefix.python.symlink_to("../../../../../../bin/sh"),
        lambda: shutil.copy(sys.executable, prefix.python),
        lambda: os.mkfifo(prefix.python, 0o444),
    ):
        with writable(prefix.bin):
            prefix.python.unlink()
            plant()
        assert ("bin/python", "interpreter") in told(check(old))


def test_a_prefix_that_is_gone_or_a_link_is_told(prefix: Prefix, built: Prefix) -> None:
    assert told(check(replace(prefix, path=prefix.path / "absent"))) == [(".", "missing")]
    link = prefix.path.parent / "link"
    link.symlink_to(built.path)
    assert told(check(replace(prefix, path=link))) == [(".", "missing")]


# Hostile content

_opened: list[tuple[str, int]] | None = None


def _listen(event: str, args: tuple[object, ...]) -> None:
    if _opened is None:
        return
    if event == "open" and isinstance(args[0], str) and isinstance(args[2], int):
        _opened.append((args[0], args[2]))
    elif event.startswith(("subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "exec", "import")):
        _opened.append((event, 0))


@pytest.fixture(scope="module")
def listening() -> None:
    # It cannot be taken away again, so one for all tests of this process.
    sys.addaudithook(_listen)


@contextmanager
def nothing_outside(prefix: Prefix) -> Iterator[None]:
    """Whatever is opened lies in the prefix, or is its manifest, and is opened for reading; nothing is run."""
    global _opened
    _opened = []
    try:
        yield
        opened = _opened
    finally:
        _opened = None
    beside = str(verify.manifest_path(prefix.path))
    for path, flags in opened:
        assert path == beside or path.startswith(f"{prefix.path}/"), path
        assert "/../" not in path
        assert flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC) == 0


def snapshot(root: Path) -> list[tuple[str, int, int, int]]:
    found = []
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        found.append((str(path), status.st_mode, status.st_size, status.st_mtime_ns))
    return found


def test_checking_runs_nothing_and_writes_nothing(prefix: Prefix, listening: None) -> None:
    before = snapshot(prefix.path.parent)
    check(prefix)
    for checked in (prefix, without_manifest(prefix)):
        around = snapshot(prefix.path.parent) if checked is not prefix else before
        with nothing_outside(prefix):
            check(checked)
            verify.manifest(Tree.scan(prefix.path))
        assert checked is prefix or snapshot(prefix.path.parent) == around
    assert MARK not in os.environ


def row(path: str, content: bytes = b"secret") -> bytes:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(content)}\n".encode("utf-8", "surrogateescape")


RECORDS: dict[str, Callable[[Path], bytes]] = {
    "absolute": lambda secret: row(str(secret)),
    "climbing": lambda secret: row(f"../../../../{secret.name}") + row("../" * 40 + "etc/hostname"),
    "climbing in between": lambda secret: row(f"one/../../../../../{secret.name}"),
    "folders": lambda secret: row("shared") + row(".") + row("..") + row("../../..") + row("shared/") + row("/"),
    "through a link": lambda secret: row("../../../bin/python"),
    "a long line": lambda secret: b"x" * 10_000_000 + b",,\n",
    "long lines of many fields": lambda secret: b",".join([b"x"] * 1_000_000),
    "an open quote": lambda secret: b'"' + b"x,y\n" * 200_000,
    "not UTF-8": lambda secret: b"\xff\xfe\x00" * 100,
    "zeros": lambda secret: b"\0" * 1000 + row("a\0b"),
    "bad hashes": lambda secret: (
        b"shared/one.py,sha256=!!!,\nshared/one.py,sha256=,\nshared/one.py,md5=00,1\na\n,,\n\n"
    ),
    "bad sizes": lambda secret: row("shared/one.py", b"").replace(b",0\n", b",-99999999999999999999\n"),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", RECORDS)
def test_a_hostile_record_leads_nowhere(prefix: Prefix, tmp_path: Path, listening: None, kind: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"another secret")
    overwrite(site(prefix) / "one-1.0.dist-info" / "RECORD", RECORDS[kind](secret))
    old = without_manifest(prefix)
    check(old)
    with nothing_outside(prefix):
        told_of = check(old)
        data = verify.manifest(Tree.scan(prefix.path))
    assert all("secret" not in damage.path and "etc" not in damage.path for damage in told_of)
    verify.manifest_path(prefix.path).write_bytes(data)
    listed = replace(prefix, manifest=hashlib.sha256(data).hexdigest())
    with nothing_outside(prefix):
        assert all("secret" not in damage.path for damage in check(listed))


@pytest.mark.timeout(30)
def test_pipes_and_names_that_are_not_unicode_do_not_hinder(prefix: Prefix, listening: None) -> None:
    folder = site(prefix)
    with writable(folder, folder / "hooks-3.0.dist-info", folder / "shared", prefix.path):
        os.mkfifo(folder / "pipe", 0o444)
        (folder / "shared" / "one.py").unlink()
        os.mkfifo(folder / "shared" / "one.py", 0o444)
        (folder / "hooks-3.0.dist-info" / "RECORD").unlink()
        os.mkfifo(folder / "hooks-3.0.dist-info" / "RECORD", 0o444)
        (prefix.path / "pyvenv.cfg").unlink()
        os.mkfifo(prefix.path / "pyvenv.cfg", 0o444)
        (folder / os.fsdecode(b"\xff.py")).write_bytes(b"")
        (folder / os.fsdecode(b"\xff.py")).chmod(0o444)
        (folder / "zero").symlink_to("/dev/zero")
    with nothing_outside(prefix):
        found = dict(told(check(prefix)))
        data = verify.manifest(Tree.scan(prefix.path))
    assert found[name_in(prefix, folder / "pipe")] == "extra"
    assert found[name_in(prefix, folder / "zero")] == "extra"
    assert found[name_in(prefix, folder / "shared" / "one.py")] == "changed"
    assert found["pyvenv.cfg"] == "changed"
    with writable(verify.manifest_path(prefix.path)):
        verify.manifest_path(prefix.path).write_bytes(data)
    listed = replace(prefix, manifest=hashlib.sha256(data).hexdigest())
    # What one of the RECORDs lists is not a file: that was wrong when it was published.
    shown = name_in(prefix, folder / "shared" / "one.py")
    assert set(told(check(listed))) == {("bin/python", "interpreter"), (shown, "changed")}


def test_a_manifest_that_is_a_pipe_does_not_hinder(prefix: Prefix) -> None:
    verify.manifest_path(prefix.path).unlink()
    os.mkfifo(verify.manifest_path(prefix.path))
    assert told(check(prefix)) == [(f"../{prefix.path.name}.manifest.json", "changed")]
