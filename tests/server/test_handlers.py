"""The routes over a real server: what is asked and answered, and how refusals read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from server_api import CHANGES, Api, create, install


async def test_the_extension_is_enabled_by_its_installation_and_says_what_it_serves(
    api: Api, jp_root_dir: Path
) -> None:
    about = await api.get("")
    assert about["home"] == str(jp_root_dir / ".envpanel")
    assert not (jp_root_dir / ".envpanel").exists(), "reading makes nothing"


async def test_bases_are_listed_by_group_before_anything_is_made(api: Api) -> None:
    listed = (await api.get("environments"))["environments"]
    assert len(listed) == 9
    assert [item["group"] for item in listed] == sorted(
        (item["group"] for item in listed), key=["feature-engineering", "model-training", "model-inference"].index
    )
    assert listed == (await api.get("bases"))["environments"]


async def test_an_environment_is_made_changed_compared_and_restored(api: Api) -> None:
    made = await api.change("churn", create("alpha<2"))
    assert made["record"]["message"] == "why"
    changed = await api.change("churn", install("alpha>=2", "beta"))
    assert changed["record"]["number"] == 2
    history = await api.get("environments/churn/revisions")
    assert [entry["operation"] for entry in history["revisions"]] == ["install", "create"]
    difference = (await api.get("environments/churn/diff", **{"from": 1, "to": 2}))["diff"]
    assert [(item["name"], item["old"], item["new"]) for item in difference["upgraded"]] == [("alpha", "1.0", "2.0")]
    restored = await api.change("churn", {"change": {"operation": "restore", "revision": 1}})
    assert restored["record"]["content_id"] == made["record"]["content_id"]
    head = await api.get("environments/churn")
    assert (head["head"]["number"], head["environment"]["state"]) == (3, "ready")
    listed = {item["name"]: item for item in (await api.get("environments"))["environments"]}
    assert listed["churn"]["head"] == 3


async def test_a_preview_changes_nothing_and_its_plan_gives_what_it_showed(api: Api) -> None:
    await api.change("churn", create("alpha<2"))
    body = install("beta")
    preview = await api.change("churn", body, preview=1)
    assert [item["name"] for item in preview["plan"]["installed"]] == ["beta"]
    assert (await api.get("environments/churn"))["head"]["number"] == 1
    outcome = await api.change("churn", {"plan": preview["id"], "message": "as seen"})
    assert outcome["record"]["diff"] == preview["plan"]


async def test_a_pasted_requirements_txt_is_taken_whole_or_not_at_all(api: Api) -> None:
    text = "# ours\nalpha<2  # the old one\nbeta ; python_version >= '3.8'\n"
    made = await api.change("churn", create(requirements_txt=text))
    assert {package["name"]: package["version"] for package in made["record"]["packages"]} == {
        "alpha": "1.0",
        "beta": "1.0",
    }
    body = {"change": {"operation": "install", "requirements_txt": "alpha\n-e ./here\n-r more.txt\n"}}
    reply = await api.ask("POST", CHANGES, body)
    assert reply.code == 400
    assert "line 2" in reply.json["message"]
    assert "line 3" in reply.json["message"]
    bounded = {
        "change": {
            "operation": "install",
            "requirements": ["alpha"],
            "requirements_txt": f"beta --hash=sha256:{'0' * 64}",
        }
    }
    build = await api.ended(await api.ask("POST", CHANGES, bounded), state="failed")
    assert "beta" in build["failure"]["message"]


async def test_packages_are_found_by_name_and_typo_with_their_versions(api: Api) -> None:
    found = await api.get("packages", query="alhpa")
    while found["loading"]:
        await asyncio.sleep(0.05)
        found = await api.get("packages", query="alhpa")
    assert [match["name"] for match in found["matches"]] == ["alpha"]
    package = await api.get("packages/Alpha")
    assert [release["version"] for release in package["releases"]] == ["2.0", "1.0"]
    assert (await api.ask("GET", "packages/no-such-package")).code == 404


async def test_environments_are_found_by_what_they_have(api: Api) -> None:
    await api.change("old", create("alpha<2"))
    await api.change("new", create("alpha"))
    found = await api.get("environments", package="Alpha")
    assert found["versions"] == {"old": "1.0", "new": "2.0"}
    found = await api.get("environments", package="alpha<2")
    assert [item["name"] for item in found["environments"]] == ["old"]
    assert (await api.get("environments", package="no-such-package"))["environments"] == []
    assert (await api.ask("GET", "environments", package="a b")).code == 400


async def test_a_clone_is_there_at_once(api: Api) -> None:
    await api.change("churn", create("alpha"))
    reply = await api.ask("POST", "environments/copy/changes", {"change": {"operation": "clone", "source": "churn"}})
    assert reply.code == 201
    assert reply.headers["Location"].endswith("/envpanel/environments/copy/revisions/1")
    assert reply.json["record"]["cloned_from"] == {"name": "churn", "revision": 1}


async def test_files_of_a_revision_are_sent_as_what_they_are(api: Api) -> None:
    await api.change("churn", create("alpha"))
    for kind, media, part in (
        ("yaml", "yaml", b"alpha==2.0"),
        ("lock", "toml", b"lock-version"),
        ("log", "plain", b""),
    ):
        reply = await api.ask("GET", f"environments/churn/revisions/1/{kind}")
        assert reply.code == 200
        assert media in reply.headers["Content-Type"]
        assert part in reply.body
    assert (await api.ask("GET", "environments/churn/revisions/1/commands")).code == 404


async def test_a_failed_change_is_an_attempt_with_a_log(api: Api) -> None:
    await api.change("churn", create("alpha"))
    body = install("no-such-package")
    build = await api.ended(await api.ask("POST", CHANGES, body), state="failed")
    assert build["failure"]["code"] == "unsatisfiable"
    assert "no-such-package" in build["failure"]["message"]
    (attempt,) = (await api.get("environments/churn/attempts"))["attempts"]
    assert attempt["reason"] == build["failure"]["message"]
    log = await api.ask("GET", f"environments/churn/attempts/{attempt['id']}/log")
    assert b"no-such-package" in log.body


async def test_a_build_is_seen_while_it_runs_and_cancelled_with_its_children(api: Api, started: Path) -> None:
    await api.change("churn", create("alpha"))
    reply = await api.ask("POST", CHANGES, install("slow"))
    assert reply.code == 202
    while not started.exists():
        await asyncio.sleep(0.05)
    (build, *_) = (await api.get("builds"))["builds"]
    assert (build["state"], build["environment"], build["operation"]) == ("running", "churn", "install")
    assert build["progress"]["phase"] in ("resolving", "building")
    ended = await api.ask("DELETE", f"builds/{build['id']}")
    assert ended.json["state"] == "cancelled"
    assert not [pid for pid in started.read_text().split() if Path("/proc", pid, "exe").exists()]
    assert (await api.get("environments/churn"))["head"]["number"] == 1
    (attempt,) = (await api.get("environments/churn/attempts"))["attempts"]
    assert attempt["state"] == "cancelled"


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "part"),
    [
        ("GET", "environments/chrun", None, 404, "churn"),
        ("GET", "environments/churn/revisions/7", None, 404, "no revision 7"),
        ("GET", "environments/churn/revisions/0", None, 404, "nothing at"),
        ("GET", "environments/churn/revisions?limit=0", None, 400, ">= 1"),
        ("GET", "environments/churn/revisions?limt=3", None, 400, "limt"),
        ("GET", "builds/nothing", None, 404, "no build"),
        ("GET", "nowhere", None, 404, "nothing at"),
        ("POST", CHANGES, {}, 400, "change or a plan"),
        ("POST", CHANGES, [], 400, "array"),
        ("POST", CHANGES, {"change": {"operation": "explode"}}, 400, "explode"),
        ("POST", CHANGES, {"change": {"operation": "install"}}, 400, "package to install"),
        (
            "POST",
            CHANGES,
            install("a b"),
            400,
            "a b",
        ),
        (
            "POST",
            CHANGES,
            {"change": {"operation": "upgrade", "y": 1}},
            400,
            "y",
        ),
        ("POST", CHANGES, {"change": {"operation": "restore", "revision": 9}}, 404, "9"),
        ("POST", CHANGES, {"plan": "f" * 64}, 404, "plan"),
        ("POST", CHANGES, {"plan": "../x"}, 400, "plan"),
        ("POST", CHANGES, create("alpha"), 409, "churn-2"),
        ("POST", "environments/Bad Name/changes", create("alpha"), 400, "bad-name"),
        ("POST", "environments/pandas-training-pipeline/changes", {"change": {"operation": "upgrade"}}, 409, "clone"),
    ],
)
async def test_what_a_user_typed_is_never_an_error_of_the_server(
    api: Api, method: str, path: str, body: Any, code: int, part: str
) -> None:
    await api.change("churn", create("alpha"))
    path, _, query = path.partition("?")
    parameters = dict(pair.split("=") for pair in query.split("&") if pair)
    reply = await api.ask(method, path, body, **parameters)
    assert reply.code == code, reply.body
    assert {"message", "code", "path"} <= reply.json.keys()
    assert part in f"{reply.json['message']} {reply.json['hint']}"
