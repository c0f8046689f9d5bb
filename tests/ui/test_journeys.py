"""What people do with the panel, from the first click to the revision, against real builds."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lab import HOSTILE, Lab, change
from live_server import LiveServer
from playwright.sync_api import expect
from project import Project

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("ui")]


def test_the_list_shows_groups_badges_counts_and_who_was_last(lab: Lab) -> None:
    churn = lab.row("churn")
    expect(churn).to_contain_text("CUSTOM")
    expect(churn).to_contain_text("Churn, team A")
    expect(churn).to_contain_text("2 packages")
    expect(churn).to_contain_text("r4")
    expect(churn).to_contain_text("ben")
    expect(lab.row("our-base")).to_contain_text("BASE")
    titles = lab.panel.locator(".jp-envpanel-section-title")
    expect(titles).to_have_count(3)
    expect(titles.first).to_contain_text("FEATURE ENGINEERING")
    lab.picture("list")


def test_search_finds_by_name_description_and_package_and_says_when_nothing_fits(lab: Lab) -> None:
    search = lab.panel.get_by_role("searchbox")
    search.fill("team a")
    expect(lab.panel.locator(".jp-envpanel-row")).to_have_count(1)
    search.fill("beta")
    expect(lab.panel.locator(".jp-envpanel-row")).to_have_count(1)
    expect(lab.row("churn")).to_contain_text("beta 1.0")
    search.fill("alpha<2")
    expect(lab.row("our-base")).to_contain_text("alpha 1.0")
    expect(lab.row("churn")).to_have_count(0)
    search.fill("no such thing")
    expect(lab.panel).to_contain_text("No environment has “no such thing”")
    search.press("Escape")
    expect(lab.row("our-base")).to_be_visible()


def test_a_clone_is_in_the_list_at_once_and_says_where_it_came_from(lab: Lab) -> None:
    lab.row("our-base").hover()
    lab.button("Clone our-base").click()
    name = lab.panel.get_by_label("Name")
    name.fill("Fraud V2")
    expect(lab.panel).to_contain_text("It must begin with a lower-case letter.")
    name.fill("churn")
    expect(lab.panel).to_contain_text("There is an environment of this name already.")
    name.fill("fraud-v2")
    lab.panel.get_by_label("Description").fill("Fraud, team B")
    lab.picture("clone")
    lab.button("Clone").click()
    row = lab.row("fraud-v2")
    expect(row).to_contain_text("Fraud, team B", timeout=3000)
    expect(row).to_contain_text("1 package")
    lab.open("fraud-v2")
    expect(lab.panel).to_contain_text("our-base r1")


def test_install_previews_first_and_makes_one_revision_of_that_very_plan(
    lab: Lab, server: LiveServer, clone: Callable[[str], str]
) -> None:
    name = clone("scores")
    lab.open(name)
    lab.button("Install").click()
    field = lab.panel.get_by_label("Package or specification")
    field.fill("gam")
    lab.button("gamma").click()
    expect(lab.panel.get_by_label("Version of gamma")).to_contain_text("0.5 · newest")
    expect(lab.panel).to_contain_text("<b onclick=hit()>bold</b>")
    lab.button("Add gamma").click()
    field.fill("alpha==1.0")
    field.press("Enter")
    specs = lab.panel.locator(".jp-envpanel-specs")
    expect(specs).to_contain_text("gamma")
    expect(specs).to_contain_text("alpha==1.0")
    expect(specs).to_contain_text("2.0 installed")
    lab.picture("install")
    lab.button("Preview").click()
    plan = lab.panel.get_by_label("What would change")
    expect(plan).to_contain_text("INSTALLED")
    expect(plan).to_contain_text("1 pulled-in package")
    expect(plan).to_contain_text("2.0 → 1.0")
    lab.picture("preview")
    detail = server.ask("GET", f"envpanel/environments/{name}")[1]
    assert detail["environment"]["head"] == 1, "nothing happened yet"
    lab.panel.get_by_label("Why? (for the history)").fill("scores again")
    lab.button("Apply").click()
    lab.has_revision(2)
    opened = lab.revision(2)
    expect(opened).to_contain_text("scores again")
    expect(opened).to_contain_text("DOWNGRADED")
    expect(opened).to_contain_text("install gamma, alpha==1.0")
    expect(lab.toast(f"{name} r2")).to_be_visible()


def test_conflicts_are_told_in_the_resolvers_words_and_change_nothing(lab: Lab, clone: Callable[[str], str]) -> None:
    name = clone("conflicts")
    lab.open(name)
    lab.button("Install").click()
    field = lab.panel.get_by_label("Package or specification")
    for spec in ("picky", "alpha>=2"):
        field.fill(spec)
        field.press("Enter")
    lab.button("Preview").click()
    expect(lab.panel.get_by_role("alert")).to_contain_text("picky")
    expect(lab.button("Preview again")).to_be_visible()
    lab.picture("conflict")
    lab.page.keyboard.press("Escape")
    expect(lab.panel.locator(".jp-envpanel-specs li")).to_have_count(2)


def test_a_line_of_the_history_opens_to_its_diff_and_compares_with_any_other(lab: Lab) -> None:
    lab.open("churn", "History")
    lab.revision(3).locator("button").first.click()
    opened = lab.revision(3)
    expect(opened).to_contain_text("newer letters")
    expect(opened).to_contain_text("UPGRADED")
    expect(opened).to_contain_text("install alpha>=2, beta")
    lab.picture("history")
    lab.picture("history-wide", width=600)
    opened.get_by_role("button", name="Compare…").click()
    opened.get_by_label("Environment to compare with").select_option("our-base")
    expect(opened.get_by_role("region")).to_contain_text("1.0 → 2.0")
    lab.picture("compare")
    opened.get_by_role("button", name="YAML side by side").click()
    sides = lab.page.locator(".jp-envpanel-sides")
    expect(sides).to_contain_text("our-base r1")
    expect(sides).to_contain_text("alpha==1.0")
    opened.get_by_role("button", name="YAML", exact=True).click()
    expect(opened.locator(".jp-envpanel-file")).to_contain_text("alpha==2.0")
    with lab.page.expect_download() as download:
        opened.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "churn-r3-environment.yml"
    lab.panel.get_by_role("searchbox").fill("gamma")
    expect(lab.panel.locator(".jp-envpanel-revision-title")).to_have_count(2)


def test_restore_shows_its_diff_and_makes_a_new_revision(
    lab: Lab, server: LiveServer, clone: Callable[[str], str]
) -> None:
    name = clone("restored")
    change(server, name, {"operation": "uninstall", "packages": ["beta"]})
    lab.open(name, "History")
    lab.revision(1).locator("button").first.click()
    lab.revision(1).get_by_role("button", name="Restore…").click()
    expect(lab.panel.get_by_label("What would change")).to_contain_text("beta")
    lab.picture("restore")
    lab.button("Apply").click()
    lab.has_revision(3)
    expect(lab.revision(3)).to_contain_text("restore")


def test_a_deleted_environment_leaves_the_list_and_can_be_brought_back(lab: Lab, clone: Callable[[str], str]) -> None:
    name = clone("deleted")
    lab.row(name).hover()
    lab.button(f"More for {name}").click()
    lab.page.get_by_role("menuitem", name="Delete Environment…").click()
    lab.page.get_by_role("button", name="Delete", exact=True).click()
    expect(lab.row(name)).to_have_count(0)
    lab.toast(f"{name} r2").get_by_text("Bring back").click()
    expect(lab.row(name)).to_contain_text("r3")


def test_a_head_that_moved_is_explained_and_previewed_again(
    lab: Lab, server: LiveServer, project: Project, clone: Callable[[str], str]
) -> None:
    name = clone("moved")
    change(server, name, {"operation": "uninstall", "packages": ["beta"]})
    lab.open(name, "History")
    lab.revision(1).locator("button").first.click()
    lab.revision(1).get_by_role("button", name="Restore…").click()
    expect(lab.panel.get_by_label("What would change")).to_contain_text("beta")
    project.ok("install", name, "delta", "-m", "quick")
    lab.button("Apply").click()
    expect(lab.panel).to_contain_text("A colleague was first.")
    expect(lab.panel).to_contain_text(f"ben changed {name} in the meantime")
    expect(lab.panel.get_by_label("What would change")).to_contain_text("delta")
    lab.picture("head-moved")
    lab.button("Apply").click()
    lab.has_revision(4)


def test_what_a_colleague_does_appears_in_another_window_within_two_seconds(
    visit: Callable[[], Lab], project: Project, clone: Callable[[str], str]
) -> None:
    name = clone("shared")
    one, other = visit(), visit()
    other.open(name, "History")
    one.open(name)
    one.panel.locator(".jp-envpanel-packages li", has_text="beta").hover()
    one.button("Uninstall beta").click()
    expect(one.panel.get_by_label("What would change")).to_contain_text("UNINSTALLED")
    one.button("Apply").click()
    one.has_revision(2)
    began = time.monotonic()
    other.has_revision(2)
    assert time.monotonic() - began < 2
    # And one that no server of ours has made.
    project.ok("install", name, "beta")
    began = time.monotonic()
    one.has_revision(3)
    other.has_revision(3)
    assert time.monotonic() - began < 2


def test_a_reload_in_mid_build_loses_nothing(
    lab: Lab, server: LiveServer, clone: Callable[[str], str], go_on: Path
) -> None:
    name = clone("reloaded")
    body = {"change": {"operation": "install", "requirements": ["patient"]}}
    assert server.ask("POST", f"envpanel/environments/{name}/changes", body)[0] == 202
    row = lab.row(name)
    expect(row.get_by_role("progressbar")).to_be_visible()
    lab.restart()
    expect(row.get_by_role("progressbar")).to_be_visible()
    expect(row).to_contain_text("install")
    lab.picture("progress")
    go_on.touch()
    expect(row).to_contain_text("r2", timeout=40_000)
    expect(row.get_by_role("progressbar")).to_have_count(0)
    expect(lab.toast(f"{name} r2")).to_be_visible()


def test_a_build_is_watched_cancelled_and_found_again_in_the_activity(
    lab: Lab, server: LiveServer, clone: Callable[[str], str]
) -> None:
    name = clone("watched")
    body = {"change": {"operation": "install", "requirements": ["sleepy"]}}
    status, build = server.ask("POST", f"envpanel/environments/{name}/changes", body)
    assert status == 202, build
    expect(lab.row(name).get_by_role("progressbar")).to_be_visible()
    lab.open(name, "Activity")
    running = lab.panel.locator(".jp-envpanel-attempt.jp-mod-running")
    expect(running).to_be_visible()
    lab.picture("activity")
    running.get_by_role("button", name="Cancel").click()
    ended = lab.panel.locator(".jp-envpanel-attempt", has_text="cancelled")
    expect(ended).to_contain_text("install sleepy")
    ended.get_by_role("button", name="Try again…").click()
    expect(lab.panel.get_by_role("heading", name="Install")).to_be_visible()


def test_all_of_it_goes_by_keyboard(lab: Lab) -> None:
    keys = lab.page.keyboard
    focused = lab.page.locator(":focus")
    lab.panel.get_by_role("searchbox").focus()
    keys.press("ArrowDown")
    keys.press("End")
    keys.press("Home")
    first = lab.panel.locator("li.jp-envpanel-row").first.get_attribute("data-name")
    expect(focused).to_have_attribute("data-name", first or "")
    while focused.get_attribute("data-name") != "churn":
        keys.press("ArrowDown")
    keys.press("Enter")
    expect(lab.panel.locator(".jp-envpanel-about-name")).to_contain_text("churn")
    lab.panel.get_by_role("tab", name="Packages").focus()
    keys.press("ArrowRight")
    expect(lab.panel.get_by_role("tab", name="History")).to_have_attribute("aria-selected", "true")
    lab.has_revision(2)
    lab.panel.locator(".jp-envpanel-revision-head").first.focus()
    keys.press("ArrowDown")
    keys.press("Enter")
    expect(focused).to_have_attribute("aria-expanded", "true")
    keys.press("Escape")
    expect(focused).to_have_attribute("data-name", "churn")
    keys.press("Shift+F10")
    menu = lab.page.locator(".lm-Menu")
    expect(menu).to_contain_text("Install Packages…")
    keys.press("Escape")
    expect(menu).to_have_count(0)


def test_hostile_text_is_shown_as_text(lab: Lab, server: LiveServer, clone: Callable[[str], str]) -> None:
    name = clone("hostile")
    change(server, name, {"operation": "describe", "description": HOSTILE})
    expect(lab.row(name)).to_contain_text('<img src=x onerror="window.hit=1">')
    lab.open(name)
    expect(lab.panel.locator(".jp-envpanel-about-description")).to_contain_text("javascript:alert(1)")
    assert lab.page.evaluate("window.hit") is None


def test_a_server_that_is_away_is_said_and_recovers(lab: Lab) -> None:
    lab.page.context.set_offline(True)
    lab.button("Refresh").click()
    expect(lab.panel).to_contain_text("The Jupyter server does not answer.")
    expect(lab.row("churn")).to_be_visible()
    lab.picture("offline", dark=False)
    lab.page.context.set_offline(False)
    expect(lab.panel.locator(".jp-envpanel-offline")).to_have_count(0)
