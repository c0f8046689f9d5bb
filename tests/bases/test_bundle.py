"""The shipped bases keep their promises, and a bundle says what is wrong with a bad one."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import platform
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from build_bases import PROMISES
from packaging import tags
from packaging.requirements import Requirement
from packaging.utils import parse_wheel_filename
from uv import find_uv_bin

from envpanel.bases.bundle import PLATFORMS, Base, Bundle, Use
from envpanel.engines.interface import Request
from envpanel.engines.interpreters import Interpreter
from envpanel.engines.uv import UvEngine
from envpanel.errors import EnvPanelError, InvalidInput, NotFound, OtherPlatform
from envpanel.model.lock import Lock
from envpanel.model.nouns import PYTHONS, Group, Origin
from envpanel.model.target import Target
from envpanel.model.versions import is_prerelease
from envpanel.settings import Settings

SHIPPED = Bundle.shipped().names()
LONGEST_ON_A_CARD = 90

# What the oldest systems take that the bases are meant for: glibc 2.28 is that of RHEL 8 and Debian 10.
ACCEPTED = {
    "linux-x86_64": [
        *(f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)),
        *("manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"),
    ],
    "linux-aarch64": [*(f"manylinux_2_{minor}_aarch64" for minor in range(28, 16, -1)), "manylinux2014_aarch64"],
}


@dataclass(frozen=True, kw_only=True)
class Elsewhere(Target):
    """A target that this machine need not be."""

    name: str

    @property
    def platform(self) -> str:
        return self.name

    @property
    def environment(self) -> dict[str, str]:  # type: ignore[override]
        return {**Target(python=self.python).environment, **PLATFORMS.get(self.name, {})}

    def best_wheel(self, names: Iterable[str]) -> str | None:
        version = [int(part) for part in self.python.split(".")]
        interpreter, platforms = f"cp{version[0]}{version[1]}", ACCEPTED[self.name]
        ordered = [
            *tags.cpython_tags(version, abis=[interpreter], platforms=platforms),
            *tags.compatible_tags(version, interpreter=interpreter, platforms=platforms),
        ]
        by_tag = {tag: name for name in names if name.endswith(".whl") for tag in parse_wheel_filename(name)[3]}
        return next((by_tag[tag] for tag in ordered if tag in by_tag), None)


@pytest.fixture(params=SHIPPED)
def base(request: pytest.FixtureRequest) -> Base:
    return Bundle.shipped().get(request.param)


@pytest.fixture(params=PYTHONS)
def python(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestShipped:
    def test_there_are_nine_bases_in_three_groups(self) -> None:
        assert [(base.group.value, base.name) for base in Bundle.shipped()] == [
            ("feature-engineering", "python-feature-pipeline"),
            ("feature-engineering", "spark-feature-pipeline"),
            ("model-training", "pandas-training-pipeline"),
            ("model-training", "tensorflow-training-pipeline"),
            ("model-training", "torch-training-pipeline"),
            ("model-inference", "minimal-inference-pipeline"),
            ("model-inference", "pandas-inference-pipeline"),
            ("model-inference", "tensorflow-inference-pipeline"),
            ("model-inference", "torch-inference-pipeline"),
        ]
        assert PROMISES.keys() == set(SHIPPED)

    def test_a_base_holds_what_its_title_promises(self, base: Base, python: str) -> None:
        """On Linux; what it promises is also asked for, so that it stays when something else no longer needs it."""
        promised = PROMISES[base.name].keys()
        assert promised <= {Requirement(line).name for line in base.requirements}
        for name in ("linux-x86_64", "linux-aarch64"):
            assert promised <= base.lock(Elsewhere(python=python, name=name)).versions.keys()

    def test_all_bases_are_of_one_day(self) -> None:
        assert len({base.bundle for base in Bundle.shipped()}) == 1

    def test_only_bases_for_deployments_are_in_the_group_for_inference(self, base: Base) -> None:
        assert ("deployment" in base.uses) == (base.group is Group.MODEL_INFERENCE)

    def test_a_base_says_what_it_is_for(self, base: Base) -> None:
        assert base.title
        assert 0 < len(base.description) <= LONGEST_ON_A_CARD
        assert base.description.isprintable() and base.description.endswith(".")
        assert base.group in Group
        assert base.uses and set(base.uses) <= set(get_args(Use))
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", base.bundle)
        assert list(base.requirements) == sorted(base.requirements)

    def test_a_base_can_run_a_notebook(self, base: Base) -> None:
        assert {"ipykernel", "ipywidgets"} <= {Requirement(line).name for line in base.requirements}

    def test_the_pins_meet_every_requirement(self, base: Base, python: str) -> None:
        target = Elsewhere(python=python, name="linux-x86_64")
        versions = base.lock(target).versions
        unmet = [
            line
            for line in base.requirements
            for requirement in [Requirement(line)]
            if (requirement.marker is None or requirement.marker.evaluate(target.environment))
            and versions.get(requirement.name) not in requirement.specifier
        ]
        assert unmet == []

    @pytest.mark.parametrize("name", PLATFORMS)
    def test_a_target_gets_one_version_of_a_package(self, base: Base, python: str, name: str) -> None:
        environment = Elsewhere(python=python, name=name).environment
        counts = Counter(pin.name for pin in base.pins.packages if pin.holds(environment))
        assert set(counts.values()) == {1}

    @pytest.mark.parametrize("name", ["linux-x86_64", "linux-aarch64"])
    def test_every_package_has_a_file_for_linux(self, base: Base, python: str, name: str) -> None:
        target = Elsewhere(python=python, name=name)
        missing = [
            f"{pin.name} {pin.version}"
            for pin in base.pins.packages
            if pin.holds(target.environment)
            and target.best_wheel(dict(pin.files)) is None
            and not pin.files[0][0].endswith(".tar.gz")
        ]
        assert missing == []

    def test_only_spark_is_built_from_source(self, base: Base) -> None:
        sdists = {pin.name for pin in base.pins.packages for name, _ in pin.files if not name.endswith(".whl")}
        assert sdists <= ({"pyspark"} if "pyspark" in base.uses else set())

    def test_the_files_are_names_and_digests_that_a_supported_target_can_use(self, base: Base) -> None:
        unusable = r"musllinux|-pp\d|-cp\d+t|-cp3\d+t-|win32|win_arm64|armv7l|ppc64le|s390x|riscv64|loongarch|i686"
        for pin in base.pins.packages:
            assert pin.files, pin.name
            for name, sha256 in pin.files:
                assert re.fullmatch(r"[\w.+!-]+\.(whl|tar\.gz)", name)
                assert re.fullmatch(r"[0-9a-f]{64}", sha256)
                # A file for several platforms may name some that we do not support besides.
                assert not re.search(unusable, name) or re.search(r"manylinux\w*_(x86_64|aarch64)|macosx", name), name

    def test_no_address_is_in_them(self, base: Base) -> None:
        for path in (base.pins_path, base.pins_path.with_name(f"{base.name}.yaml")):
            text = path.read_text(encoding="utf-8")
            assert "://" not in text
            assert not re.search(r"\bwww\.|\.(org|com|net|io)\b", text)

    def test_the_content_is_another_for_each_python_and_the_same_on_each_load(self, base: Base) -> None:
        def ids() -> list[str]:
            fresh = Bundle.shipped().get(base.name)
            return [fresh.lock(Elsewhere(python=minor, name="linux-x86_64")).content_id() for minor in PYTHONS]

        assert ids() == ids()
        assert len(set(ids())) == len(PYTHONS)

    def test_the_lock_survives_a_round_trip(self, base: Base, python: str) -> None:
        lock = base.lock(Elsewhere(python=python, name="linux-x86_64"))
        assert Lock.from_toml(lock.to_toml()) == lock
        assert all(package.url is None and not package.kept for package in lock.packages)


@pytest.fixture(scope="session")
def real_index(tmp_path_factory: pytest.TempPathFactory) -> UvEngine:
    """uv and whatever index this machine is set up for."""
    cache = tmp_path_factory.mktemp("uv")
    return UvEngine(uv=find_uv_bin(), cache=cache, environ=os.environ, settings=Settings())


def _files(lock: Lock) -> list[tuple[str, str, str]]:
    """Each package and the file that it comes from; of a wheel that was built here, the source distribution."""
    return [(item.name, item.version, item.source_sha256 or item.sha256) for item in lock.packages]


def _resolve(engine: UvEngine, request: Request) -> Lock:
    interpreter = Interpreter(path=Path(sys.executable), version=platform.python_version())
    resolution = engine.resolve(request, interpreter, report=lambda _: None, log=lambda _: None)
    return asyncio.run(resolution).lock


def test_no_base_pins_a_pre_release(base: Base) -> None:
    assert [pin.name for pin in base.pins.packages if is_prerelease(pin.version)] == []


@pytest.mark.parametrize(("name", "python"), list(zip(SHIPPED, itertools.cycle(PYTHONS), strict=False)))
def test_the_index_has_the_pinned_files_and_they_go_together(real_index: UvEngine, name: str, python: str) -> None:
    """uv, which starts from the pins and drops what does not hold, comes to the same files of the same packages.

    Each base for one Python, to save time: the pins are one resolution for all.
    """
    base = Bundle.shipped().get(name)
    pinned = base.lock(Target(python=python))
    resolved = _resolve(real_index, Request(requirements=base.requirements, python=python, preferred=pinned))
    assert _files(resolved) == _files(pinned)


# Bundles that are made here, good and bad.

YAML = """\
title: A title
description: A sentence.
group: {group}
uses: [notebook]
requirements: ['B_package >= 2', a-package]
"""
SHA = "ab" * 32


def make(folder: Path, name: str, *, group: str = "model-training", pins: Any = ()) -> Base:
    """A base in this folder, read; `pins` are packages."""
    (folder / f"{name}.yaml").write_text(YAML.format(group=group))
    document = {"bundle": "2026-01-02", "python": PYTHONS, "packages": pins}
    (folder / f"{name}.pins.json").write_text(json.dumps(document))
    return Bundle(folder).get(name)


def pin(name: str, version: str, *files: str, **more: str) -> Mapping[str, object]:
    names = files or (f"{name.replace('-', '_')}-{version}-py3-none-any.whl",)
    return {"name": name, "version": version, "files": [[file, SHA] for file in names], **more}


HERE = Elsewhere(python="3.11", name="linux-x86_64")


def test_requirements_are_normalised_and_sorted(tmp_path: Path) -> None:
    base = make(tmp_path, "demo")
    assert base.requirements == ("a-package", "b-package>=2")
    assert (base.title, base.description, base.group) == ("A title", "A sentence.", Group.MODEL_TRAINING)
    assert (base.uses, base.bundle) == (("notebook",), "2026-01-02")


def test_bases_come_group_by_group_and_by_name(tmp_path: Path) -> None:
    for name, group in {"a": "model-inference", "c": "feature-engineering", "b": "model-inference"}.items():
        make(tmp_path, name, group=group)
    bundle = Bundle(tmp_path)
    assert [base.name for base in bundle] == ["c", "a", "b"]
    assert bundle.names() == ["a", "b", "c"]
    assert len(bundle) == 3


def test_a_base_is_read_once(tmp_path: Path) -> None:
    make(tmp_path, "demo")
    bundle = Bundle(tmp_path)
    assert bundle.get("demo") is bundle.get("demo")


@pytest.mark.parametrize("name", ["other", "", "../demo", "demo.yaml", "DEMO"])
def test_a_name_that_is_not_there(tmp_path: Path, name: str) -> None:
    make(tmp_path, "demo")
    bundle = Bundle(tmp_path)
    assert "demo" in bundle
    assert name not in bundle
    with pytest.raises(NotFound) as raised:
        bundle.get(name)
    assert raised.value.hint == "There are: demo."


def test_an_empty_folder_has_no_bases(tmp_path: Path) -> None:
    assert list(Bundle(tmp_path)) == []
    with pytest.raises(NotFound, match="no base environment 'demo'"):
        Bundle(tmp_path).get("demo")


def test_markers_choose_the_version(tmp_path: Path) -> None:
    forked = [
        pin("a-package", "1.0", marker="python_full_version < '3.12'"),
        pin("a-package", "2.0", marker="python_full_version >= '3.12'"),
        pin("only-windows", "1.0", marker="sys_platform == 'win32'"),
    ]
    base = make(tmp_path, "demo", pins=forked)
    assert base.lock(HERE).versions == {"a-package": "1.0"}
    assert base.lock(Elsewhere(python="3.12", name="linux-x86_64")).versions == {"a-package": "2.0"}


def test_a_package_with_an_sdist_alone_is_locked_by_it(tmp_path: Path) -> None:
    base = make(tmp_path, "demo", pins=[pin("a-package", "1.0", "a_package-1.0.tar.gz")])
    (package,) = base.lock(HERE).packages
    assert (package.file, package.origin, package.kept) == ("a_package-1.0.tar.gz", Origin.SDIST, False)
    assert Lock.from_toml(base.lock(HERE).to_toml()) == base.lock(HERE)


def test_a_package_without_a_file_for_this_platform(tmp_path: Path) -> None:
    base = make(tmp_path, "demo", pins=[pin("a-package", "1.0", "a_package-1.0-py3-none-win_amd64.whl")])
    with pytest.raises(OtherPlatform) as raised:
        base.lock(HERE)
    assert raised.value.message == (
        "The base 'demo' cannot be had here: a-package 1.0 has no file for linux-x86_64 and Python 3.11."
    )


def test_a_platform_that_bases_are_not_pinned_for(tmp_path: Path) -> None:
    base = make(tmp_path, "demo", pins=[pin("a-package", "1.0")])
    with pytest.raises(OtherPlatform, match=r"is for linux-x86_64, .*, not linux-musl-x86_64\.$"):
        base.lock(Elsewhere(python="3.11", name="linux-musl-x86_64"))


def test_a_python_that_bases_are_not_pinned_for(tmp_path: Path) -> None:
    base = make(tmp_path, "demo", pins=[pin("a-package", "1.0")])
    with pytest.raises(InvalidInput, match=r"is for Python 3\.11, 3\.12, 3\.13, not 3\.10\.$"):
        base.lock(Elsewhere(python="3.10", name="linux-x86_64"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "it is not YAML (line 2)"),
        ("\ta: 1\n", "it is not YAML (line 1)"),
        ("", "Expected `object`, got `null`"),
        ("- a\n", "Expected `object`, got `array`"),
        ("title: A\n", "missing required field `description`"),
        (YAML.format(group="nonsense"), "Invalid enum value 'nonsense' - at `$.group`"),
        (YAML.format(group="model-training").replace("notebook", "cinema"), "at `$.uses[0]`"),
        (YAML.format(group="model-training").replace("A title", "3.1"), "Expected `str`, got `float` - at `$.title`"),
        (YAML.format(group="model-training").replace("a-package", "./a.whl"), "'./a.whl' is not a package"),
        ("title: \xff", "not YAML"),
    ],
)
def test_a_description_that_cannot_be_read(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "demo.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(EnvPanelError) as raised:
        Bundle(tmp_path).get("demo")
    assert raised.value.message.startswith("demo.yaml, which describes a base environment, cannot be used: ")
    assert reason in raised.value.message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name"),
        ("[]", "Expected `object`, got `array`"),
        ('{"bundle": "2026-01-02", "python": ["3.11"]}', "missing required field `packages`"),
        (json.dumps({"bundle": "x", "python": ["3.11"], "packages": [{"name": "a"}]}), "at `$.packages[0]`"),
        (json.dumps({"bundle": "x", "python": ["3.11"], "packages": [pin("a", "1", marker="!")]}), "marker"),
        (json.dumps({"bundle": "x", "python": ["3.11"], "packages": [pin("a", "1"), pin("a", "2")]}), "versions of a"),
    ],
)
def test_pins_that_cannot_be_read(tmp_path: Path, text: str, reason: str) -> None:
    """They are read when they are needed, and not before."""
    make(tmp_path, "demo")
    (tmp_path / "demo.pins.json").write_text(text)
    (base,) = Bundle(tmp_path)
    with pytest.raises(EnvPanelError) as raised:
        base.lock(HERE)
    assert raised.value.message.startswith("demo.pins.json, which describes a base environment, cannot be used: ")
    assert reason in raised.value.message


def test_pins_that_are_missing(tmp_path: Path) -> None:
    make(tmp_path, "demo")
    (tmp_path / "demo.pins.json").unlink()
    with pytest.raises(EnvPanelError, match="has no pins") as raised:
        Bundle(tmp_path).get("demo").lock(HERE)
    assert raised.value.hint == "Run 'python -m envpanel.bases.relock demo'."


def test_importing_it_does_not_load_yaml() -> None:
    code = "import sys, envpanel.bases.bundle; sys.exit('yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
