"""The panel of ipywidgets in a real kernel: what its fields and buttons do."""

from __future__ import annotations

import pytest
from real_project import Lab
from test_magics import outputs

pytestmark = pytest.mark.xdist_group("kernels")

HELPERS = """
def page(widget):
    import re, html
    return html.unescape(re.sub('<[^>]+>', ' ', widget.value))

def pressed(button):
    button.click()
    if panel._thread is not None:
        panel._thread.join()
    return page(panel.result)
"""


@pytest.fixture(scope="module")
def name(lab: Lab) -> str:
    made = lab.clone("panelled")
    lab.ok("install", made, "ipywidgets")
    return made


def test_it_is_a_widget_and_a_table_where_the_notebook_is_only_looked_at(lab: Lab, name: str) -> None:
    for cell in ("from envpanel import EnvPanel\nEnvPanel()", "%envpanel"):
        [shown] = outputs(lab, f"envpanel.{name}", cell)
        assert "application/vnd.jupyter.widget-view+json" in shown.data
        assert "python-feature-pipeline" in shown.data["text/html"]
        assert "run the cell to have the panel" in shown.data["text/html"]


def test_without_ipywidgets_it_is_a_sentence(lab: Lab) -> None:
    assert "The panel needs ipywidgets" in lab.execute("envpanel.lab", ["%envpanel"])[0]


def test_pick_preview_apply_compare_restore_clone(lab: Lab, name: str) -> None:
    head = lab.ok("show", name)["number"]
    found = lab.execute(
        f"envpanel.{name}",
        [
            f"from envpanel import EnvPanel\npanel = EnvPanel()\n{HELPERS}",
            "print(panel.group.value, panel.environment.value, page(panel.facts), page(panel.packages))",
            "print(pressed(panel.preview))",
            "panel.specs.value = 'six cowsay'\nprint(pressed(panel.preview), panel.apply.disabled)",
            "panel.why.value = 'by hand'\nprint(pressed(panel.apply), panel.apply.disabled)",
            f"panel.old.value, panel.new.value = {head}, {head + 1}\nprint(pressed(panel.compare))",
            f"panel.earlier.value = {head}\nprint(pressed(panel.restore), pressed(panel.apply))",
            "panel.name.value = 'panelled-too'\nprint(pressed(panel.clone), panel.environment.value)",
            "panel.specs.value = 'nosuchthing-xyz'\nprint(pressed(panel.preview))",
            "panel.specs.value = 'pandas'\npanel.preview.click()\npanel.cancel.click()\n"
            "panel._thread.join()\nprint(page(panel.result))",
            "panel.group.value = 'MODEL INFERENCE'\nprint(panel.environment.options)",
        ],
    )
    _, first, empty, preview, applied, compared, restored, cloned, failed, cancelled, group = found
    assert f"MODEL TRAINING {name}" in first
    assert f"this kernel runs r{head}" in first
    assert "ipywidgets" in first
    assert "Name a package" in empty
    assert "+  six" in preview
    assert preview.strip().endswith("False")
    assert f"{name}@{head + 1} installed (+2)" in applied
    assert f"This kernel still runs r{head}: restart it to use r{head + 1}." in applied
    assert applied.strip().endswith("True")
    assert "+  cowsay" in compared
    assert f"{name}@{head + 2} restored (−2)" in restored
    assert "panelled-too@1 made" in cloned
    assert cloned.strip().endswith("panelled-too")
    assert "No set of packages meets all requirements" in failed
    assert "Cancelled; nothing was changed." in cancelled
    assert "torch-inference-pipeline" in group
    assert lab.ok("show", f"{name}@{head + 1}")["message"] == "by hand"
