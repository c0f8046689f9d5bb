"""The command line, as users and their scripts meet it: real commands, real builds, from the home-made index."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import time
import tomllib
from pathlib import Path

import click
import pytest
from packaging.pylock import Pylock
from project import Project
from wheelhouse import Distribution, Wheelhouse, slow_build, standard

from envpanel.cli import cli


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    return standard(tmp_path_factory.mktemp("index"))


@pytest.fixture
def project(tmp_path: Path, house: Wheelhouse) -> Project:
    folder = tmp_path / "project"
    folder.mkdir()
    return Project(folder=folder, house=house)


@pytest.fixture
def churn(project: Project) -> Project:
    """A project with the environment `churn` of alpha 1.x (and no kernel: less to build)."""
    project.ok("create", "churn", "--group", "feature-engineering", "--no-kernel", "alpha<2", "--description", "team A")
    return project


def _tree(folder: Path) -> dict[str, bytes]:
    """Everything of a home that is history: not the cache, not hints."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for top in ("environments", "blobs")
        for path in sorted((folder / top).rglob("*"))
        if path.is_file()
    }


def _environments(folder: Path) -> dict[str, bytes]:
    return {key: value for key, value in _tree(folder).items() if key.startswith("environments/")}


# The main job


def test_install_history_diff_restore_run(churn: Project) -> None:
    record = churn.ok("install", "churn", "tool", "beta>=1", "-m", "we need it")
    assert (record["number"], record["operation"], record["message"]) == (2, "install", "we need it")
    assert [line["number"] for line in churn.ok("history", "churn")] == [2, 1]
    difference = churn.ok("diff", "churn", "1", "2")
    assert [entry["name"] for entry in difference["installed"]] == ["beta", "tool"]
    assert churn.run("run", "churn", "--", "tool-hello").code == 0
    restored = churn.ok("restore", "churn", "1")
    assert restored["restored_from"] == {"name": "churn", "revision": 1}
    gone = churn.run("run", "churn", "--", "python", "-c", "import tool")
    assert gone.code == 1
    assert "ModuleNotFoundError" in gone.err
    assert churn.run("run", "churn@2", "--", "python", "-c", "import tool").code == 0
    assert churn.ok("verify") == {"checked": 3, "problems": []}


def test_the_diff_of_a_restore_mirrors_what_it_undoes(churn: Project) -> None:
    churn.ok("install", "churn", "alpha>=2")
    churn.ok("restore", "churn", "1")
    forth, back = churn.ok("diff", "churn", "1", "2"), churn.ok("diff", "churn", "2", "3")
    assert forth["upgraded"] == [{"name": "alpha", "old": "1.10", "new": "2.0", "requested": True}]
    assert back["downgraded"] == [{"name": "alpha", "old": "2.0", "new": "1.10", "requested": True}]
    assert forth["installed"] == back["uninstalled"]
    assert churn.ok("diff", "churn@1", "churn@3") == churn.ok("diff", "churn@1", "churn@1")


def test_restore_brings_back_the_very_files(churn: Project) -> None:
    churn.ok("install", "churn", "alpha>=2")
    first, third = churn.ok("show", "churn@1"), churn.ok("restore", "churn", "1")
    assert third["content_id"] == first["content_id"]
    assert third["digests"]["lock"] == first["digests"]["lock"]
    assert churn.ok("path", "churn@1") == churn.ok("path", "churn@3")


def test_a_clone_and_a_restore_of_what_is_built_copy_nothing(churn: Project) -> None:
    before = sorted(path for path in (churn.home / "cache" / "prefixes").rglob("*") if path.is_dir())
    churn.ok("clone", "churn", "other")
    churn.ok("describe", "other", "of another team")
    churn.ok("restore", "other", "1")
    assert sorted(path for path in (churn.home / "cache" / "prefixes").rglob("*") if path.is_dir()) == before
    assert churn.ok("path", "other") == churn.ok("path", "churn")


# Records


def test_a_record_says_what_who_when_why_and_from_which_request(churn: Project) -> None:
    record = churn.ok("install", "churn", "Tool==1.0", "gamma", "-m", "joins")
    assert record["environment"] == "churn"
    assert record["parent"] == 1
    assert record["arguments"] == {"requirements": ["tool==1.0", "gamma"]}
    assert record["requirements"] == ["alpha<2", "gamma", "tool==1.0"]
    assert record["via"] == "cli"
    assert set(record["author"]) == {"username", "name", "verified"}
    assert record["author"]["verified"] is False
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", record["created"])
    assert record["duration"] > 0
    packages = {package["name"]: package for package in record["packages"]}
    assert (packages["tool"]["requested"], packages["tool"]["since"]) == (True, 2)
    assert (packages["alpha"]["requested"], packages["alpha"]["since"]) == (True, 1)
    assert (packages["beta"]["requested"], packages["beta"]["since"]) == (False, 2)
    assert packages["tool"]["origin"] == "index"
    assert packages["tool"]["manager"] == "uv"
    assert record["previous"] == churn.ok("show", "churn@1")["digest"]
    for key in [
        "id",
        "kind",
        "group",
        "description",
        "base",
        "cloned_from",
        "restored_from",
        "python",
        "platform",
        "content_id",
        "salt",
        "format",
    ]:
        assert key in record
    assert re.fullmatch(r"[0-9a-f]{64}", record["content_id"])
    assert (record["salt"], record["format"]) == (None, 1)


def test_the_author_is_the_hub_user_where_there_is_a_hub(churn: Project) -> None:
    churn.env["JUPYTERHUB_USER"] = "ana"
    assert churn.ok("describe", "churn", "hers")["author"] == {"username": "ana", "name": "ana", "verified": False}


def test_the_lock_is_a_pylock_and_the_yaml_names_exact_versions(churn: Project) -> None:
    lock = tomllib.loads(churn.run("show", "churn", "--lock").out)
    Pylock.from_dict(lock)
    assert [(package["name"], package["version"]) for package in lock["packages"]] == [("alpha", "1.10")]
    text = churn.run("show", "churn", "--yaml").out
    assert "- alpha==1.10" in text
    assert "://" not in text
    assert (churn.home / "environments" / "churn" / "00000001.yml").read_text() == text


def test_the_log_of_a_revision_is_what_the_installer_said(churn: Project) -> None:
    assert "Resolved" in churn.run("show", "churn", "--log").out
    churn.ok("describe", "churn", "no program ran for this")
    assert churn.refused("show", "churn", "--log")["code"] == "not-found"


# Environments


def test_list_shows_bases_and_custom_environments(churn: Project) -> None:
    found = {item["name"]: item for item in churn.ok("list")}
    assert found["churn"] == {
        "name": "churn",
        "group": "feature-engineering",
        "kind": "custom",
        "base": None,
        "description": "team A",
        "head": 1,
        "author": found["churn"]["author"],
        "created": found["churn"]["created"],
        "python": found["churn"]["python"],
        "platform": found["churn"]["platform"],
        "packages": 1,
        "content_id": found["churn"]["content_id"],
        "state": "ready",
        "record_damaged": False,
    }
    assert found["python-feature-pipeline"]["kind"] == "base"
    assert found["python-feature-pipeline"]["state"] == "not-built"
    assert found["python-feature-pipeline"]["head"] == 1


def test_list_finds_those_that_have_a_package(churn: Project) -> None:
    (package,) = churn.ok("packages", "churn")
    having = {item["name"] for item in churn.ok("list", "--package", package["name"])}
    assert having == {"churn"}
    assert churn.ok("list", "--package", f"{package['name']}>{package['version']}") == []


def test_a_listing_writes_nothing(project: Project) -> None:
    project.ok("list")
    project.ok("show", "python-feature-pipeline")
    project.ok("history", "python-feature-pipeline")
    assert not project.home.exists()


def test_a_new_home_keeps_the_cache_out_of_git(churn: Project) -> None:
    assert "cache/" in (churn.home / ".gitignore").read_text()


def test_the_nearest_home_upwards_is_found(churn: Project) -> None:
    below = churn.folder / "notebooks" / "deep"
    below.mkdir(parents=True)
    inner = Project(folder=below, house=churn.house, env={"ENVPANEL_CACHE": churn.variables["ENVPANEL_CACHE"]})
    assert "churn" in [item["name"] for item in inner.ok("list")]
    assert not inner.home.exists()


def test_home_can_be_named_by_option_or_variable(churn: Project, tmp_path: Path) -> None:
    elsewhere = Project(folder=tmp_path, house=churn.house)
    assert elsewhere.ok("--home", str(churn.home), "show", "churn")["environment"] == "churn"
    assert elsewhere.ok("show", "churn", "--home", str(churn.home))["environment"] == "churn"
    elsewhere.env["ENVPANEL_HOME"] = str(churn.home)
    assert elsewhere.ok("show", "churn")["environment"] == "churn"


def test_create_adds_what_a_kernel_needs_unless_told_not_to(project: Project) -> None:
    record = project.ok("create", "nb", "--group", "model-training", "alpha")
    assert record["requirements"] == ["alpha", "ipykernel", "ipywidgets"]
    record = project.ok("create", "job", "--group", "model-training", "--no-kernel")
    assert record["packages"] == []
    assert project.run("run", "job", "--", "python", "-c", "pass").code == 0


def test_create_takes_another_python(project: Project) -> None:
    from envpanel.model.target import default_python

    other = "3.12" if default_python() != "3.12" else "3.11"
    record = project.ok("create", "other", "--group", "model-training", "--no-kernel", "--python", other, "alpha")
    assert record["python"] == other
    shown = project.run("run", "other", "--", "python", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    assert shown.out.strip() == other
    assert project.refused("create", "old", "--group", "model-training", "--python", "3.6")["code"] == "invalid-input"


def test_a_base_of_the_project_is_cloned_and_never_changed(project: Project) -> None:
    project.ok("create", "our-base", "--group", "model-inference", "--base", "--no-kernel", "alpha")
    error = project.refused("install", "our-base", "beta")
    assert error["code"] == "base-immutable"
    assert "clone it first" in error["message"]
    assert error["hint"].startswith("envpanel clone our-base ")
    record = project.ok("clone", "our-base", "mine")
    assert record["kind"] == "custom"
    assert record["base"] == record["cloned_from"] == {"name": "our-base", "revision": 1}
    assert record["group"] == "model-inference"
    assert project.ok("clone", "mine", "yours")["base"] == {"name": "our-base", "revision": 1}


def test_a_clone_is_of_the_revision_that_was_named(churn: Project) -> None:
    churn.ok("install", "churn", "beta")
    record = churn.ok("clone", "churn@1", "old", "--description", "as it was")
    assert record["cloned_from"] == {"name": "churn", "revision": 1}
    assert [package["name"] for package in record["packages"]] == ["alpha"]
    assert (record["number"], record["parent"], record["description"]) == (1, None, "as it was")
    assert record["diff"]["installed"] == []


def test_a_clone_is_committed_though_it_cannot_be_built_here(project: Project) -> None:
    project.env |= {"UV_OFFLINE": "1"}
    answer = project.run("clone", "minimal-inference-pipeline", "mine", "--json")
    assert answer.json["number"] == 1
    assert json.loads(answer.err)["code"] == "engine-failed"
    assert {item["name"]: item["state"] for item in project.ok("list")}["mine"] == "not-built"
    # Its files are known without any index: so the identity is that of the base.
    assert answer.json["content_id"] == project.ok("show", "minimal-inference-pipeline@1")["content_id"]


def test_delete_keeps_history_and_name_and_unarchive_takes_it_back(churn: Project) -> None:
    churn.ok("delete", "churn", "-m", "done with it")
    assert "churn" not in [item["name"] for item in churn.ok("list")]
    assert {item["name"]: item["state"] for item in churn.ok("list", "--all")}["churn"] == "archived"
    assert churn.refused("install", "churn", "beta")["code"] == "archived"
    taken = churn.refused("create", "churn", "--group", "model-training")
    assert taken["code"] == "name-taken"
    assert "unarchive" in taken["hint"]
    assert [line["operation"] for line in churn.ok("history", "churn")] == ["archive", "create"]
    churn.ok("unarchive", "churn")
    assert churn.ok("install", "churn", "beta")["number"] == 4


# Changes


def test_install_replaces_the_requirement_of_the_same_name(churn: Project) -> None:
    assert churn.ok("install", "churn", "Alpha>=2")["requirements"] == ["alpha>=2"]


def test_other_pins_stay_where_they_are(churn: Project) -> None:
    churn.ok("install", "churn", "beta==1.0")
    churn.ok("install", "churn", "beta", "tool")
    assert churn.versions("churn")["beta"] == "1.0"
    churn.ok("upgrade", "churn", "beta")
    assert churn.versions("churn")["beta"] == "2.0"


def test_upgrade_goes_as_far_as_the_requirements_allow(churn: Project) -> None:
    churn.ok("install", "churn", "alpha==1.1")
    churn.ok("install", "churn", "alpha<2")
    assert churn.versions("churn")["alpha"] == "1.1"
    assert churn.ok("upgrade", "churn")["diff"]["upgraded"][0]["new"] == "1.10"
    assert churn.refused("upgrade", "churn", "alpah")["hint"] == "Did you mean 'alpha'?"


def test_uninstall_takes_what_nothing_needs_any_more(churn: Project) -> None:
    churn.ok("install", "churn", "alpha>=2")
    assert sorted(churn.versions("churn")) == ["alpha", "beta"]
    record = churn.ok("uninstall", "churn", "alpha")
    assert [entry["name"] for entry in record["diff"]["uninstalled"]] == ["alpha", "beta"]


def test_uninstalling_what_others_need_names_them(churn: Project) -> None:
    churn.ok("install", "churn", "gamma", "beta")
    for name in ("beta", "alpha"):
        error = churn.refused("uninstall", "churn", name)
        assert error["code"] == "still-needed"
        assert f"{name} is still needed by gamma" in error["message"]
    assert churn.ok("uninstall", "churn", "gamma", "beta")["requirements"] == ["alpha<2"]


def test_uninstalling_what_is_not_there_names_it(churn: Project) -> None:
    error = churn.refused("uninstall", "churn", "cowsay")
    assert error["code"] == "not-found"
    assert "cowsay is not in churn" in error["message"]


def test_a_change_that_changes_nothing_makes_no_revision(churn: Project) -> None:
    assert churn.ok("install", "churn", "alpha<2")["number"] == 1
    assert churn.ok("upgrade", "churn")["number"] == 1
    assert churn.ok("restore", "churn", "1")["number"] == 1
    assert "Nothing to change" in churn.run("describe", "churn", "team A").out


# Plans


def test_a_dry_run_changes_nothing_and_its_plan_can_be_applied(churn: Project) -> None:
    before = _environments(churn.home)
    preview = churn.ok("install", "churn", "tool", "--dry-run")
    assert set(preview) == {"plan", "id", "warnings", "download"}
    assert _environments(churn.home) == before
    record = churn.ok("apply", preview["id"], "-m", "as seen")
    assert record["diff"] == preview["plan"]
    assert (record["operation"], record["message"]) == ("install", "as seen")


@pytest.mark.parametrize(
    "change",
    [
        ["create", "new", "--group", "model-training", "--no-kernel", "tool"],
        ["clone", "churn", "new"],
        ["install", "churn", "tool"],
        ["uninstall", "churn", "beta"],
        ["upgrade", "churn"],
        ["restore", "churn", "1"],
        ["describe", "churn", "another"],
        ["delete", "churn"],
    ],
    ids=lambda change: change[0],
)
def test_every_change_can_be_previewed_and_does_what_its_plan_says(churn: Project, change: list[str]) -> None:
    churn.ok("install", "churn", "beta==1.0", "alpha==1.1")
    churn.ok("install", "churn", "beta", "alpha")
    before = _environments(churn.home)
    preview = churn.ok(*change, "--dry-run")
    assert _environments(churn.home) == before
    assert churn.ok("apply", preview["id"])["diff"] == preview["plan"]


def test_a_plan_whose_head_moved_is_applied_only_where_it_still_does_the_same(churn: Project) -> None:
    same = churn.ok("install", "churn", "tool", "--dry-run")
    other = churn.ok("install", "churn", "beta", "--dry-run")
    churn.ok("install", "churn", "gamma")
    record = churn.ok("apply", same["id"])
    assert (record["number"], record["diff"]) == (3, same["plan"])
    error = churn.refused("apply", other["id"])
    assert error["code"] == "head-moved"
    assert error["diff"]["installed"] == []
    assert churn.ok("show", "churn")["number"] == 3


def test_a_plan_to_restore_ends_when_the_head_moved(churn: Project) -> None:
    churn.ok("install", "churn", "tool")
    plan = churn.ok("restore", "churn", "1", "--dry-run")
    churn.ok("install", "churn", "beta")
    error = churn.refused("apply", plan["id"])
    assert error["code"] == "head-moved"
    assert [entry["name"] for entry in error["diff"]["installed"]] == ["beta"]


def test_a_plan_tells_what_a_person_would_not_expect(churn: Project) -> None:
    churn.ok("install", "churn", "alpha>=2", "beta")
    warned = churn.ok("install", "churn", "gamma", "alpha", "--dry-run")["warnings"]
    assert {(item["code"], item["package"]) for item in warned} == {("downgraded", "beta")}
    warned = churn.ok("install", "churn", "beta==3.0", "fromsource", "onlypre", "--dry-run")["warnings"]
    assert {(item["code"], item["package"]) for item in warned} == {
        ("yanked", "beta"),
        ("built-from-source", "fromsource"),
        ("pre-release", "onlypre"),
    }
    assert all(item["package"] in item["message"] for item in warned)


def test_an_unknown_plan_is_refused(churn: Project) -> None:
    for plan in ("0" * 64, "../../etc/passwd", churn.ok("show", "churn")["digests"]["lock"]):
        assert churn.refused("apply", plan)["code"] == "not-found"


# Failure changes nothing


@pytest.mark.parametrize(
    ("spec", "code", "part"),
    [
        ("nosuchthing", "unsatisfiable", "nosuchthing was not found"),
        ("alpha==9.9", "unsatisfiable", "no version of alpha==9.9"),
        ("alpha==2.0 ; python_version > '3'", "unsatisfiable", "alpha"),
        ("newpy", "unsatisfiable", "Python"),
        ("wintag", "unsatisfiable", "wintag"),
        ("badsource", "engine-failed", "badsource"),
        ("--index-url=http://evil.example", "invalid-requirement", "is an option"),
        ("alpha\n--index-url http://evil.example", "invalid-requirement", "one line"),
        ("../alpha", "invalid-requirement", "not a package"),
        ("alpha @ https://user:secret@host.example/a.whl", "invalid-requirement", "credentials"),
    ],
)
def test_a_failed_change_leaves_everything_as_it_was(churn: Project, spec: str, code: str, part: str) -> None:
    before, built = _environments(churn.home), _directories(churn)
    answer = churn.run("install", "churn", "--json", "--", spec)
    assert (answer.code, answer.out) == (1, "")
    error = answer.error
    assert error["code"] == code
    assert part in error["message"]
    assert "secret" not in json.dumps(error)
    assert _environments(churn.home) == before
    assert _directories(churn) == built
    if code in ("unsatisfiable", "engine-failed"):
        assert Path(error["log"]).read_text()


def test_a_file_that_is_not_the_locked_one_is_not_installed(project: Project, tmp_path: Path) -> None:
    """The index changes a file after the plan was made: the hash of the lock refuses it."""
    house = standard(tmp_path / "index")
    mine = Project(folder=project.folder, house=house)
    mine.ok("create", "churn", "--group", "model-training", "--no-kernel")
    plan = mine.ok("install", "churn", "tool", "--dry-run")
    wheel = next(house.find_links.rglob("tool-1.0-*.whl"))
    wheel.write_bytes(next(house.find_links.rglob("alpha-1.0-*.whl")).read_bytes())
    before = _environments(mine.home)
    assert mine.refused("apply", plan["id"])["code"] == "engine-failed"
    assert _environments(mine.home) == before


def test_ctrl_c_ends_the_change_and_all_that_it_started(churn: Project, tmp_path: Path) -> None:
    pids = _start_slow_install(churn, tmp_path, interrupt=signal.SIGINT)
    _wait_until_gone(pids)
    assert churn.ok("show", "churn")["number"] == 1
    assert churn.ok("install", "churn", "tool")["number"] == 2


def test_after_kill_9_the_head_stays_and_the_next_change_works(churn: Project, tmp_path: Path) -> None:
    pids = _start_slow_install(churn, tmp_path, interrupt=signal.SIGKILL)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    before = _environments(churn.home)
    assert churn.ok("verify")["problems"] == []
    assert churn.ok("install", "churn", "tool")["number"] == 2
    assert before.items() <= _environments(churn.home).items()


def _start_slow_install(project: Project, tmp_path: Path, *, interrupt: signal.Signals) -> list[int]:
    """Install what takes a minute to build, interrupt it once it builds; the process ids of the build and its child."""
    house = standard(tmp_path / "slow-index")
    started = tmp_path / "started"
    house.add(Distribution(name="slow", version="1.0", sdist_only=True, build_script=slow_build(60, started=started)))
    house.write()
    slow = Project(folder=project.folder, house=house)
    process = slow.start("install", "churn", "slow")
    deadline = time.monotonic() + 60
    while not started.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(interrupt)
    _, err = process.communicate(timeout=30)
    if interrupt is signal.SIGINT:
        assert process.returncode == 1
        assert "Cancelled; nothing was changed." in err
    return [int(pid) for pid in started.read_text().split()]


def _wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 10
    while any(_is_running(pid) for pid in pids):
        assert time.monotonic() < deadline, "a build went on after it was cancelled"
        time.sleep(0.05)


def _is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _directories(project: Project) -> list[str]:
    return sorted(str(path) for path in (project.home / "cache" / "prefixes").glob("*/*"))


def test_outdated_tells_what_the_requirements_allow_from_what_there_is(churn: Project) -> None:
    churn.ok("install", "churn", "beta==1.0", "alpha==1.1", "fromsource")
    churn.ok("install", "churn", "alpha<2")
    rows = {row.pop("name"): row for row in churn.ok("outdated", "churn")}
    assert rows == {
        "alpha": {"current": "1.1", "allowed": "1.10", "newest": "2.0", "requested": True},
        "beta": {"current": "1.0", "allowed": "1.0", "newest": "2.0", "requested": True},
        "fromsource": {"current": "1.0", "allowed": "1.0", "newest": "1.0", "requested": True},
    }
    assert "1 of 3 packages at the newest version" in churn.run("outdated", "churn").out
    assert churn.ok("show", "churn")["number"] == 3


def test_outdated_where_no_index_has_a_package_any_more_is_a_sentence(project: Project, tmp_path: Path) -> None:
    house = standard(tmp_path / "index")
    mine = Project(folder=project.folder, house=house)
    mine.ok("create", "churn", "--group", "model-training", "--no-kernel", "tool", "alpha")
    house.remove("tool", "1.0", listed=False)
    assert mine.refused("outdated", "churn")["code"] == "unsatisfiable"


def test_a_package_that_needs_java_says_so_where_there_is_none(project: Project, tmp_path: Path) -> None:
    house = standard(tmp_path / "index")
    house.add(Distribution(name="pyspark", version="4.0"))
    house.write()
    mine = Project(folder=project.folder, house=house, env={"PATH": "/nonexistent", "JAVA_HOME": ""})
    arguments = ["create", "spark", "--group", "feature-engineering", "--no-kernel", "pyspark", "--dry-run"]
    warned = mine.ok(*arguments)["warnings"]
    assert [(item["code"], item["package"]) for item in warned] == [("no-java", "pyspark")]
    java = tmp_path / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.touch(mode=0o755)
    mine.env["JAVA_HOME"] = str(tmp_path / "jdk")
    assert mine.ok(*arguments)["warnings"] == []


# Attempts


def test_a_failed_change_is_kept_with_who_what_why_and_the_log(churn: Project) -> None:
    error = churn.refused("install", "churn", "alpha==9.9", "-m", "we want the newest")
    (attempt,) = churn.ok("history", "churn", "--attempts")
    assert (attempt["state"], attempt["operation"], attempt["message"]) == ("failed", "install", "we want the newest")
    assert attempt["arguments"] == {"requirements": ["alpha==9.9"]}
    assert (attempt["code"], attempt["reason"]) == ("unsatisfiable", error["message"])
    assert (attempt["head"], attempt["via"]) == (1, "cli")
    assert churn.ok("show", "churn", "--attempt", attempt["id"]) == attempt
    assert "alpha==9.9" in churn.run("show", "churn", "--attempt", attempt["id"], "--log").out
    assert attempt["reason"].split(":")[0] in churn.run("history", "churn", "--attempts").out
    assert [line["number"] for line in churn.ok("history", "churn")] == [1]


def test_a_cancelled_change_is_kept(churn: Project, tmp_path: Path) -> None:
    _start_slow_install(churn, tmp_path, interrupt=signal.SIGINT)
    (attempt,) = churn.ok("history", "churn", "--attempts")
    assert (attempt["state"], attempt["code"]) == ("cancelled", "cancelled")


def test_a_killed_change_is_found_interrupted_by_whoever_comes_next(churn: Project, tmp_path: Path) -> None:
    for pid in _start_slow_install(churn, tmp_path, interrupt=signal.SIGKILL):
        os.kill(pid, signal.SIGKILL)
    churn.ok("install", "churn", "tool")
    (attempt,) = churn.ok("history", "churn", "--attempts")
    assert (attempt["state"], attempt["ended"], attempt["head"]) == ("interrupted", None, 1)
    assert attempt["arguments"] == {"requirements": ["slow"]}
    assert not list((churn.home / "cache" / "logs").glob("*.running"))


def test_an_attempt_at_a_new_environment_is_kept_though_there_is_none(project: Project) -> None:
    project.refused("create", "churn", "--group", "model-training", "--no-kernel", "nosuchthing")
    (attempt,) = project.ok("history", "churn", "--attempts")
    assert (attempt["operation"], attempt["head"]) == ("create", None)
    assert "churn" not in [item["name"] for item in project.ok("list")]


def test_refusals_previews_and_successes_are_no_attempts(churn: Project) -> None:
    churn.refused("uninstall", "churn", "cowsay")
    churn.refused("install", "churn", "alpha==9.9", "--dry-run")
    churn.ok("install", "churn", "tool")
    assert churn.ok("history", "churn", "--attempts") == []
    assert churn.refused("show", "churn", "--attempt", "../../etc/passwd")["code"] == "not-found"


# Names, usage, JSON


@pytest.mark.parametrize("name", ["My Env", "-x", "9lives", "a/b", "../x", "ä", "a" * 65, "a\nb", ""])
def test_a_wrong_name_gets_a_sentence(project: Project, name: str) -> None:
    answer = project.run("create", "--group", "model-training", "--no-kernel", "--json", "--", name)
    assert answer.code == 1
    assert answer.error["code"] == "invalid-name"
    assert not (project.home / "environments").exists()


def test_a_wrong_name_gets_a_suggestion(project: Project) -> None:
    assert project.refused("create", "My Env!", "--group", "model-training")["hint"] == "Try 'my-env'."


def test_a_taken_name_gets_one_that_is_free(churn: Project) -> None:
    churn.ok("clone", "churn", "churn-2")
    error = churn.refused("clone", "churn", "churn")
    assert (error["code"], error["hint"]) == ("name-taken", "'churn-3' is free.")
    assert churn.refused("clone", "churn", "python-feature-pipeline")["code"] == "name-taken"


def test_an_unknown_environment_gets_the_closest_name(churn: Project) -> None:
    assert churn.refused("show", "chrun")["hint"] == "Did you mean 'churn'?"
    assert churn.refused("show", "churn@7")["message"] == "churn has no revision 7."
    assert churn.refused("history", "../../etc")["code"] == "not-found"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nosuchcommand"],
        ["create", "x"],
        ["create", "x", "--group", "cooking"],
        ["install", "churn"],
        ["show", "churn@0"],
        ["show", "churn@x"],
        ["diff", "churn", "1", "x"],
        ["diff", "a", "b", "c", "d"],
        ["restore", "churn", "0"],
        ["history", "churn", "--limit", "0"],
    ],
)
def test_wrong_usage_ends_with_2_and_says_why(churn: Project, arguments: list[str]) -> None:
    answer = churn.run(*arguments, "--json")
    assert answer.code == 2
    assert answer.out == ""
    assert answer.error["code"] == "usage"
    assert churn.run(*arguments).code == 2


def test_errors_are_read_aloud_without_json(churn: Project) -> None:
    answer = churn.run("install", "churn", "alpha==9.9")
    assert answer.code == 1
    assert "Error: No set of packages meets all requirements: Because there is no version of alpha==9.9" in answer.err
    assert "The log: " in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("text", ["x\x1b[2Jy", "a\x07b", "x" * 3000, "see https://ana:hunter2@git.example/x"])
def test_texts_that_do_not_belong_in_the_history_are_refused(churn: Project, text: str) -> None:
    before = _tree(churn.home)
    for arguments in (["describe", "churn", text], ["describe", "churn", "x", "-m", text]):
        error = churn.refused(*arguments)
        assert error["code"] == "invalid-input"
        assert "hunter2" not in error["message"]
    assert _tree(churn.home) == before


def test_history_is_paged_and_filtered(churn: Project) -> None:
    for spec in ("beta", "tool", "beta==1.0"):
        churn.ok("install", "churn", spec)
    assert [line["number"] for line in churn.ok("history", "churn", "--limit", "2")] == [4, 3]
    assert [line["number"] for line in churn.ok("history", "churn", "--limit", "2", "--before", "3")] == [2, 1]
    assert [line["number"] for line in churn.ok("history", "churn", "--package", "Beta")] == [4, 2]
    line = churn.ok("history", "churn", "--limit", "1")[0]
    assert set(line) == {
        "number",
        "parent",
        "author",
        "created",
        "operation",
        "arguments",
        "message",
        "diff",
        "commands",
    }


def test_diff_alone_is_what_the_revision_changed(churn: Project) -> None:
    churn.ok("install", "churn", "tool")
    assert churn.ok("diff", "churn") == churn.ok("diff", "churn@2") == churn.ok("diff", "churn", "1", "2")


def test_diff_is_of_any_two_revisions_of_two_environments(churn: Project) -> None:
    churn.ok("clone", "churn", "other")
    churn.ok("install", "other", "alpha==1.9")
    found = churn.ok("diff", "other", "churn")
    assert found["upgraded"] == [{"name": "alpha", "old": "1.9", "new": "1.10", "requested": True}]
    assert found["python"] is None


def test_run_gives_the_exit_code_and_the_variables(churn: Project) -> None:
    assert churn.run("run", "churn", "--", "sh", "-c", "exit 7").code == 7
    prefix = churn.ok("path", "churn")["path"]
    shown = churn.run("run", "churn", "--", "sh", "-c", "echo $VIRTUAL_ENV; command -v python; echo $ENVPANEL_REVISION")
    assert shown.out.split() == [prefix, f"{prefix}/bin/python", "1"]
    assert "could not be started" in churn.run("run", "churn", "--", "nosuchprogram").err
    assert churn.run("run", "churn", "--").code == 2


def test_run_says_how_to_install_and_changes_nothing(churn: Project) -> None:
    answer = churn.run("run", "churn", "--", "pip", "install", "tool")
    assert answer.code == 1
    assert "pip changes nothing in churn" in answer.err
    assert "envpanel install churn tool in a terminal" in answer.err
    assert "alpha" in churn.run("run", "churn", "--", "pip", "list").out
    assert churn.ok("verify", "churn") == {"checked": 1, "problems": []}


def test_a_running_command_keeps_its_prefix(churn: Project) -> None:
    from envpanel.prefixes.leases import is_held

    prefix = Path(churn.ok("path", "churn")["path"])
    process = churn.start("run", "churn", "--", "sh", "-c", "echo running; exec sleep 60")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        assert is_held(prefix.parent / "READY-1.json")
    finally:
        process.kill()
        process.communicate()
    assert not is_held(prefix.parent / "READY-1.json")


# Kernels


def _kernelspecs(project: Project) -> set[str]:
    """Those in the cache, which need no server."""
    folder = project.home / "cache" / "kernels"
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def test_kernelspecs_follow_what_there_is(churn: Project) -> None:
    assert _kernelspecs(churn) == {"envpanel.churn"}
    churn.ok("clone", "churn", "other")
    assert _kernelspecs(churn) == {"envpanel.churn", "envpanel.other"}
    churn.ok("delete", "churn")
    assert _kernelspecs(churn) == {"envpanel.other"}
    churn.ok("apply", churn.ok("unarchive", "churn", "--dry-run")["id"])
    assert _kernelspecs(churn) == {"envpanel.churn", "envpanel.other"}


def test_a_base_has_a_kernelspec_once_it_is_built(project: Project) -> None:
    project.ok("create", "ours", "--group", "feature-engineering", "--base", "--no-kernel", "alpha")
    _remove(project.home / "cache")
    assert project.ok("kernelspec", "list") == {"path": str(project.home / "cache"), "kernelspecs": []}
    project.ok("build", "ours")
    assert _kernelspecs(project) == {"envpanel.ours"}
    _remove(project.home / "cache")
    project.ok("clone", "ours", "mine")
    assert _kernelspecs(project) == {"envpanel.ours", "envpanel.mine"}


def test_a_listing_mends_the_kernelspecs_of_the_cache(churn: Project) -> None:
    folder = churn.home / "cache" / "kernels"
    (folder / "envpanel.churn").rename(folder / "envpanel.gone")
    shown = churn.ok("kernelspec", "list")
    assert shown["kernelspecs"] == [{"name": "envpanel.churn", "display_name": "churn · FEATURE ENGINEERING"}]
    assert _kernelspecs(churn) == {"envpanel.churn"}
    answer = churn.run("kernelspec", "list")
    assert "envpanel.churn" in answer.out
    assert f"JUPYTER_PATH={churn.home / 'cache'}" in answer.err


def test_a_change_is_done_though_its_kernelspec_cannot_be_written(churn: Project) -> None:
    _remove(churn.home / "cache" / "kernels")
    (churn.home / "cache" / "kernels").write_text("in the way")
    assert churn.ok("describe", "churn", "of team B")["number"] == 2


@pytest.mark.parametrize("user", [True, False], ids=["of the user", "of another prefix"])
def test_a_kernelspec_is_put_into_a_jupyter_and_taken_out(churn: Project, tmp_path: Path, user: bool) -> None:
    churn.env["JUPYTER_DATA_DIR"] = str(tmp_path / "data")
    where = ["--user"] if user else ["--prefix", str(tmp_path / "prefix")]
    folder = tmp_path / "data" / "kernels" if user else tmp_path / "prefix" / "share" / "jupyter" / "kernels"
    for target, name in [("churn", "envpanel.churn"), ("churn@1", "envpanel.churn.r1")]:
        assert churn.ok("kernelspec", "install", target, *where) == {"path": str(folder / name)}
        content = json.loads((folder / name / "kernel.json").read_text())
        assert content["argv"][-5:] == ["--home", str(churn.home), target, "-f", "{connection_file}"]
    churn.ok("delete", "churn")
    churn.ok("kernelspec", "uninstall", "churn@1", *where)
    assert [path.name for path in folder.iterdir()] == ["envpanel.churn"]
    assert churn.refused("kernelspec", "uninstall", "churn@1", *where)["code"] == "not-found"


def test_a_kernelspec_of_what_is_not_there_is_refused(churn: Project, tmp_path: Path) -> None:
    for target in ("chrun", "churn@9"):
        assert churn.refused("kernelspec", "install", target, "--prefix", str(tmp_path))["code"] == "not-found"
    assert churn.run("kernelspec", "install", "churn", "--user", "--prefix", str(tmp_path)).code == 2


def test_build_makes_what_is_missing_and_path_says_where(churn: Project) -> None:
    first = churn.ok("path", "churn")
    churn.run("run", "churn", "--", "sh", "-c", "true")
    _remove(churn.home / "cache")
    assert churn.refused("path", "churn")["code"] == "not-found"
    assert {item["name"]: item["state"] for item in churn.ok("list")}["churn"] == "not-built"
    second = churn.ok("build", "churn")
    assert second == churn.ok("path", "churn")
    assert Path(first["path"]).parent == Path(second["path"]).parent


def test_finished_prefixes_are_read_only(churn: Project) -> None:
    prefix = Path(churn.ok("path", "churn")["path"])
    writable = [path for path in prefix.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o222]
    assert writable == []


def test_verify_names_what_is_wrong(churn: Project) -> None:
    churn.ok("install", "churn", "tool")
    record = churn.home / "environments" / "churn" / "00000001.json"
    record.chmod(0o644)
    record.write_bytes(record.read_bytes().replace(b"team A", b"team B"))
    answer = churn.run("verify", "--json")
    assert answer.code == 1
    result = json.loads(answer.out)
    assert result["checked"] == 2
    assert [(item["environment"], item["revision"], item["what"]) for item in result["problems"]] == [
        ("churn", 1, "record")
    ]
    assert churn.run("verify", "churn@2", "--json").code == 0
    assert churn.refused("show", "churn@1")["code"] == "damaged"


def test_verify_finds_a_damaged_file_and_repair_builds_it_anew_beside(churn: Project) -> None:
    churn.ok("install", "churn", "tool")
    prefix = Path(churn.ok("path", "churn")["path"])
    module = next(prefix.glob("lib/*/site-packages/tool.py"))
    module.chmod(0o644)
    # Its other name is in uv's cache: what is built of that next has it, too.
    module.write_text("poison = True\n")
    answer = churn.run("verify", "churn", "--json")
    assert answer.code == 1
    (problem,) = json.loads(answer.out)["problems"]
    assert (problem["environment"], problem["revision"], problem["what"]) == ("churn", 2, "prefix")
    assert "tool.py" in problem["message"]
    repaired = churn.ok("verify", "--repair")
    assert repaired["problems"] == []
    assert [item["what"] for item in repaired["repaired"]] == ["prefix"]
    assert Path(churn.ok("path", "churn")["path"]) != prefix
    assert module.exists()
    assert churn.run("run", "churn", "--", "python", "-c", "import tool; tool.poison").code == 1
    assert churn.ok("verify")["problems"] == []


def test_repair_puts_a_damaged_head_aside_and_leaves_one_in_the_middle(churn: Project) -> None:
    churn.ok("install", "churn", "tool")
    churn.ok("install", "churn", "beta")
    folder = churn.home / "environments" / "churn"
    whole = (folder / "00000002.json").read_bytes()
    for number in (2, 3):
        path = folder / f"{number:08d}.json"
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-10])
    damaged = (folder / "00000003.json").read_bytes()
    answer = churn.run("verify", "--repair", "--json")
    assert answer.code == 1
    result = json.loads(answer.out)
    assert [item["revision"] for item in result["repaired"]] == [3]
    assert {item["revision"] for item in result["problems"]} == {2}
    (aside,) = (churn.home / "quarantine" / "churn").iterdir()
    assert aside.read_bytes() == damaged
    (folder / "00000002.json").write_bytes(whole)
    assert churn.ok("show", "churn")["number"] == 2
    assert churn.ok("install", "churn", "beta")["number"] == 3


def test_repair_makes_a_yaml_again_and_names_what_it_cannot_make(churn: Project) -> None:
    digests = churn.ok("show", "churn")["digests"]
    (churn.home / "blobs" / "sha256" / digests["yaml"]).unlink()
    assert [item["what"] for item in churn.ok("verify", "--repair")["repaired"]] == ["blob"]
    (churn.home / "blobs" / "sha256" / digests["log"]).unlink()
    answer = churn.run("verify", "--repair", "--json")
    assert answer.code == 1
    assert [item["message"] for item in json.loads(answer.out)["problems"]] == ["The log of churn@1 is missing."]


def test_a_missing_yaml_copy_or_left_over_directory_is_no_problem(churn: Project) -> None:
    (churn.home / "environments" / "churn" / "00000001.yml").unlink()
    left = churn.home / "cache" / "prefixes" / "0123456789" / "abcd"
    left.mkdir(parents=True)
    (churn.home / "environments" / "half-made").mkdir()
    assert churn.ok("verify") == {"checked": 1, "problems": []}
    assert "half-made" not in [item["name"] for item in churn.ok("list")]
    assert churn.ok("create", "half-made", "--group", "model-training", "--no-kernel")["number"] == 1


# Requirements files


def test_a_requirements_file_is_installed_as_its_lines_would_be(churn: Project) -> None:
    (churn.folder / "reqs").mkdir()
    (churn.folder / "reqs" / "base.txt").write_text("Tool==1.0  # the tool\n")
    (churn.folder / "requirements.txt").write_text("\ufeff-r reqs/base.txt\nbeta \\\n  <2; python_version >= '3.8'\n")
    record = churn.ok("install", "churn", "-r", "requirements.txt", "gamma")
    assert record["arguments"]["requirements"] == ["tool==1.0", 'beta<2; python_version >= "3.8"', "gamma"]
    assert churn.versions("churn")["beta"] == "1.0"
    again = churn.run("install", "churn", "-r", "requirements.txt", "-r", "reqs/base.txt")
    assert (again.code, again.out) == (0, "Nothing to change: churn@2 is just that already.\n")


def test_an_environment_is_made_of_a_requirements_file(project: Project) -> None:
    (project.folder / "requirements.txt").write_text("alpha<2\n")
    below = project.folder / "notebooks"
    below.mkdir()
    arguments = ("create", "churn", "--group", "model-training", "--no-kernel", "-r", "requirements.txt", "tool")
    assert project.ok(*arguments)["requirements"] == ["alpha<2", "tool"]
    (below / "more.txt").write_text("-r ../requirements.txt\nbeta\n")
    inner = Project(folder=below, house=project.house, env={"ENVPANEL_CACHE": project.variables["ENVPANEL_CACHE"]})
    assert inner.ok("install", "churn", "-r", "more.txt", "--dry-run")["plan"]["installed"][0]["name"] == "beta"


def test_lines_that_are_not_taken_are_named_and_nothing_is_made(project: Project) -> None:
    (project.folder.parent / "outside.txt").write_text("alpha\n")
    text = "alpha\n-e .\n--index-url https://ana:s3cret@host/simple\n-r ../outside.txt\n"
    (project.folder / "requirements.txt").write_text(text)
    arguments = ("create", "churn", "--group", "model-training", "-r", "requirements.txt")
    error = project.refused(*arguments)
    assert error["code"] == "invalid-input"
    assert [problem["line"] for problem in error["problems"]] == [2, 3, 4]
    assert "outside of the project's folder" in error["problems"][2]["message"]
    answer = project.run(*arguments)
    assert answer.code == 1
    assert "requirements.txt line 2 ('-e …')" in answer.err
    assert "s3cret" not in answer.err + str(error)
    assert not project.home.exists()


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("# nothing\n", (), "asks for no package"),
        ("alpha<2\n", ("alpha>=2",), "in two ways"),
        ("alpha<2\n", ("./alpha",), "is not a package specification"),
        (None, (), "requirements.txt does not exist"),
    ],
)
def test_a_requirements_file_that_makes_no_sense_is_refused(
    churn: Project, text: str | None, arguments: tuple[str, ...], said: str
) -> None:
    if text is not None:
        (churn.folder / "requirements.txt").write_text(text)
    error = churn.refused("install", "churn", "-r", "requirements.txt", *arguments)
    assert said in error["message"]
    assert len(churn.ok("history", "churn")) == 1


def test_constraints_bound_what_comes_with_a_change_and_are_kept_in_its_record(churn: Project) -> None:
    (churn.folder / "limits.txt").write_text("beta<3,!=2.0\nlib-a<2\n")
    (churn.folder / "requirements.txt").write_text("-c limits.txt\nalpha\ngamma\n")
    record = churn.ok("install", "churn", "-r", "requirements.txt")
    assert record["arguments"]["constraints"] == ["beta!=2.0,<3", "lib-a<2"]
    assert record["requirements"] == ["alpha", "gamma"]
    assert churn.versions("churn")["beta"] == "1.0"
    assert "lib-a" not in churn.versions("churn")
    (churn.folder / "limits.txt").write_text("alpha==2.0\ngamma==1.0\n")
    error = churn.refused("install", "churn", "-r", "requirements.txt")
    assert error["code"] == "unsatisfiable"
    assert churn.ok("install", "churn", "tool")["arguments"] == {"requirements": ["tool"]}


def test_a_plan_keeps_constraints_and_hashes(churn: Project) -> None:
    sha256 = _sha256(churn, "tool-1.0-py3-none-any.whl")
    (churn.folder / "limits.txt").write_text("lib-b<2\n")
    (churn.folder / "requirements.txt").write_text(f"-c limits.txt\nlib-b\ntool==1.0 --hash=sha256:{sha256}\n")
    plan = churn.ok("install", "churn", "-r", "requirements.txt", "--dry-run")
    record = churn.ok("apply", plan["id"])
    assert record["arguments"]["hashes"] == {"tool": [sha256]}
    assert churn.versions("churn")["lib-b"] == "1.0"


def test_a_file_that_no_hash_names_is_refused(churn: Project) -> None:
    (churn.folder / "requirements.txt").write_text(f"tool==1.0 --hash=sha256:{'0' * 64}\n")
    error = churn.refused("install", "churn", "-r", "requirements.txt")
    assert error["message"].startswith("tool 1.0 (tool-1.0-py3-none-any.whl) has a sha256 that")
    assert len(churn.ok("history", "churn")) == 1
    arguments = ("create", "new", "--group", "model-training", "--no-kernel", "-r", "requirements.txt")
    assert churn.refused(*arguments)["code"] == "refused"


def _sha256(project: Project, file: str) -> str:
    return hashlib.sha256((project.house.find_links / file).read_bytes()).hexdigest()


# Packages


def test_packages_are_searched_and_those_in_use_come_first(churn: Project) -> None:
    found = churn.ok("search", "alhpa")
    assert [match["name"] for match in found["matches"]] == ["alpha"]
    assert (found["complete"], found["unreachable"], found["notes"]) == (True, [], [])
    assert [match["name"] for match in churn.ok("search", "lib", "--limit", "2")["matches"]] == ["lib-a", "lib-b"]
    assert churn.ok("search", "chain")["matches"][0]["name"] == "chain-0"
    churn.ok("install", "churn", "chain-20")
    assert churn.ok("search", "chain")["matches"][0]["name"] == "chain-20"
    answer = churn.run("search", "ha")
    assert answer.code == 0
    assert re.search(r"^alpha +", answer.out, re.MULTILINE)
    nothing = churn.run("search", "zzzzzz")
    assert (nothing.code, nothing.out) == (0, "")
    assert "No package has a name like 'zzzzzz'." in nothing.err


def test_versions_of_a_package_are_listed_newest_first(churn: Project) -> None:
    found = churn.ok("versions", "Beta")
    assert [release["version"] for release in found["releases"]] == ["3.0", "2.0", "1.0"]
    assert (found["newest"], found["summary"]) == ("2.0", "The beta of the tests")
    answer = churn.run("versions", "beta", "--limit", "2")
    assert "withdrawn: broken" in answer.out
    assert "And 1 older version: --limit 3" in answer.out
    assert churn.refused("versions", "alhpa")["code"] == "not-found"
    assert churn.refused("versions", "alpha", "--python", "2.7")["code"] == "invalid-input"
    assert churn.refused("search", "a/b")["code"] == "invalid-input"


def test_an_index_that_does_not_answer_gets_a_sentence(project: Project) -> None:
    project.env["UV_DEFAULT_INDEX"] = "corp=http://127.0.0.1:9/simple/"
    error = project.refused("search", "numpy")
    assert error["code"] == "index-unreachable"
    assert error["message"].startswith("The package index corp could not be reached: ")
    assert not project.home.exists()


def test_every_command_has_an_example_and_takes_home_and_json(project: Project) -> None:
    groups = [command for command in cli.commands.values() if isinstance(command, click.Group)]
    for name, command in [item for group in (cli, *groups) for item in group.commands.items()]:
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--home", "--json"} <= options, name
        assert "Examples:" in (command.epilog or ""), name
        assert command.help and command.help.strip().endswith("."), name


def test_help_is_immediate_to_import() -> None:
    """What takes time is imported where it is used."""
    import subprocess
    import sys

    heavy = "{'envpanel.service', 'rich', 'yaml', 'msgspec', 'obstore', 'sqlite3'}"
    code = f"import sys; import envpanel.cli; print({heavy} & sys.modules.keys())"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


def test_names_are_completed(churn: Project) -> None:
    churn.env |= {"_ENVPANEL_COMPLETE": "bash_complete", "COMP_WORDS": "envpanel show ch", "COMP_CWORD": "2"}
    assert "plain,churn" in churn.run().out


def _remove(folder: Path) -> None:
    from envpanel.prefixes.prefix import remove_tree

    remove_tree(folder)
