"""In a kernel, nobody changes the environment by the way: pip and its like say how to do it instead."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from real_project import Lab

pytestmark = pytest.mark.xdist_group("kernels")

INSTALLS = [
    "!pip install cowsay",
    "%pip install cowsay",
    "pip install cowsay",
    "!pip3 install --user cowsay",
    "!uv pip install cowsay",
    "%conda install cowsay",
    "%mamba install cowsay",
    "%uv pip install cowsay",
    "!pip uninstall -y ipykernel",
    "import subprocess; print(subprocess.run(['pip', 'install', 'cowsay'], capture_output=True, text=True).stderr)",
]


def test_installing_says_how_and_leaves_everything_as_it_was(lab: Lab) -> None:
    name = lab.clone("installing")
    found = lab.execute(f"envpanel.{name}", [*INSTALLS, "import cowsay"])
    for cell, printed in zip(INSTALLS, found, strict=False):
        assert f"changes nothing in {name}: each change of it makes a revision. Instead:" in printed, cell
        assert f"envpanel install {name} cowsay in a terminal" in printed or "uninstall" in cell, printed
    assert found[-1].startswith("ModuleNotFoundError")
    assert lab.ok("verify", name) == {"checked": 1, "problems": []}


def test_without_a_stand_in_the_read_only_prefix_is_in_the_way(lab: Lab) -> None:
    name = lab.clone("insisting")
    as_ordinary_user = ""
    if os.geteuid() == 0:
        # Root may write everywhere; without this right it is one who owns the prefix.
        if shutil.which("setpriv") is None:
            pytest.skip("there is no setpriv to do without the rights of root")
        as_ordinary_user = "setpriv --bounding-set=-dac_override,-dac_read_search,-fowner "
    site = "import sys, glob; site = glob.glob(sys.prefix + '/lib/python3.*/site-packages')[0]"
    found = lab.execute(
        f"envpanel.{name}",
        [
            f"!{as_ordinary_user}python -m pip --version",
            f"!{as_ordinary_user}python -m pip install --no-deps cowsay",
            f"{site}\n!{as_ordinary_user}touch $site/new.py",
            f"!{as_ordinary_user}rm $site/ipykernel_launcher.py < /dev/null",
            f"!{as_ordinary_user}cp /dev/null $site/ipykernel_launcher.py",
        ],
    )
    assert found[0].startswith("pip "), "pip itself can be run"
    for printed in found[1:]:
        assert "Permission denied" in printed or "not permitted" in printed
    assert lab.ok("verify", name) == {"checked": 1, "problems": []}


def test_looking_works(lab: Lab) -> None:
    listed, magic, frozen = lab.execute("envpanel.lab", ["!pip list", "%pip show cowsay", "!pip freeze"])
    assert "ipykernel" in listed
    assert "Name: cowsay" in magic
    assert "cowsay==" in frozen
    assert "envpanel" not in listed + frozen


def test_the_notebook_side_is_there_and_in_no_list_of_packages(lab: Lab) -> None:
    code = (
        "import envpanel.notebook, importlib.metadata, importlib.util, json, sys\n"
        "names = [item.name for item in importlib.metadata.distributions()]\n"
        "print(json.dumps([envpanel.notebook.__file__, sys.path[-1], names]))"
    )
    shown, rest, again = lab.execute("envpanel.lab", [code, "import envpanel.service", "%load_ext envpanel"])
    file, last, names = json.loads(shown)
    assert file == f"{last}/envpanel/notebook/__init__.py"
    assert "ipykernel" in names
    assert "envpanel" not in names
    assert rest.startswith("ModuleNotFoundError")
    assert again == ""


def test_a_package_of_the_environment_with_its_name_comes_first(lab: Lab) -> None:
    """The notebook's own folder comes before the notebook side, as before every package; the kernel starts."""
    mine = lab.folder / "envpanel"
    mine.mkdir()
    try:
        (mine / "__init__.py").write_text("MINE = True\n")
        assert lab.execute("envpanel.lab", ["import envpanel; print(envpanel.MINE)"]) == ["True\n"]
    finally:
        shutil.rmtree(mine)


def test_the_configuration_of_users_counts(lab: Lab) -> None:
    profile = Path(os.environ["IPYTHONDIR"]) / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    config = profile / "ipython_kernel_config.py"
    config.write_text(
        "c = get_config()\n"
        "c.InteractiveShellApp.extensions = ['autoreload']\n"
        "c.InteractiveShellApp.exec_lines = ['x = 3']\n"
    )
    try:
        loaded = "print(x, 'IPython.extensions.autoreload' in get_ipython().extension_manager.loaded)"
        shown, pip = lab.execute("envpanel.lab", [loaded, "%pip install cowsay"])
        assert shown == "3 True\n"
        assert "changes nothing in lab" in pip
    finally:
        config.unlink()


def test_children_get_the_stand_ins_and_not_the_notebook_side(lab: Lab) -> None:
    code = "!python -c 'import sys; print([p for p in sys.path if \"/notebook/\" in p])'"
    paths, pip = lab.execute("envpanel.lab", [code, "!sh -c 'command -v pip'"])
    assert paths.strip() == "[]"
    assert pip.strip().startswith(f"{lab.cache}/shims/")
