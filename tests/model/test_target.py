"""The target: which wheel fits it, and what markers see there."""

from __future__ import annotations

import platform as host
import random
import sys

import pytest
from factories import few
from hypothesis import given
from hypothesis import strategies as st
from packaging.markers import Marker
from packaging.tags import platform_tags, sys_tags

from envpanel.model.nouns import PYTHONS
from envpanel.model.target import Target, default_python, this_platform

# The most specific platform tag of this machine, such as manylinux_2_36_x86_64.
HERE = next(iter(platform_tags()))
TARGET = Target(python="3.11")

# Best first.
RANKED = [
    f"six-1.0-cp311-cp311-{HERE}.whl",
    f"six-1.0-cp311-abi3-{HERE}.whl",
    f"six-1.0-cp311-none-{HERE}.whl",
    f"six-1.0-cp39-abi3-{HERE}.whl",
    f"six-1.0-py311-none-{HERE}.whl",
    f"six-1.0-py3-none-{HERE}.whl",
    "six-1.0-cp311-none-any.whl",
    "six-1.0-py311-none-any.whl",
    "six-1.0-py3-none-any.whl",
]
FOREIGN = [
    "six-1.0-cp311-cp311-win_amd64.whl",
    "six-1.0-cp311-cp311-win32.whl",
    "six-1.0-cp311-cp311-linux_ppc64le.whl",
    "six-1.0-cp311-cp311-manylinux_9_99_x86_64.whl",
    f"six-1.0-cp310-cp310-{HERE}.whl",
    f"six-1.0-cp312-cp312-{HERE}.whl",
    f"six-1.0-cp312-abi3-{HERE}.whl",
    f"six-1.0-cp311-cp311t-{HERE}.whl",
    f"six-1.0-cp311-cp311d-{HERE}.whl",
    f"six-1.0-pp311-pypy311_pp73-{HERE}.whl",
    "six-1.0-py2-none-any.whl",
    "six-1.0-py312-none-any.whl",
    "six-1.0-graalpy311-none-any.whl",
]
GARBAGE = [
    *("", ".whl", "six.whl", "six-1.0.whl", "six-1.0.tar.gz", "six-1.0-py3-none.whl", "six-one-py3-none-any.whl"),
    *(
        "six-1.0-py3-none-any.whl.metadata",
        "six-1.0-x-py3-none-any.whl",
        "../six-1.0-py3-none-any.whl",
        "a-b-c-d-e-f-g.whl",
    ),
    *("six-1.0-py3-none-any", "\0", "six 1.0-py3-none-any.whl", "six--py3-none-any.whl", "-1.0-py3-none-any.whl"),
]


@few
@given(st.sets(st.sampled_from(RANKED), min_size=1), st.randoms(use_true_random=False))
def test_the_most_specific_wheel_is_taken(names: set[str], shuffle: random.Random) -> None:
    files = [*names, *FOREIGN, *GARBAGE]
    shuffle.shuffle(files)
    assert TARGET.best_wheel(files) == min(names, key=RANKED.index)


@pytest.mark.parametrize("name", [*FOREIGN, *GARBAGE])
def test_what_does_not_fit_is_not_taken(name: str) -> None:
    assert TARGET.best_wheel([name]) is None
    assert TARGET.best_wheel([name, RANKED[-1], name]) == RANKED[-1]


def test_of_nothing_nothing_is_taken() -> None:
    assert TARGET.best_wheel([]) is None


@few
@given(st.lists(st.text(max_size=30) | st.text(max_size=20).map("{}-1.0-py3-none-any.whl".format), max_size=5))
def test_any_names_can_be_asked_about(names: list[str]) -> None:
    assert TARGET.best_wheel(names) in (None, *names)


def test_one_tag_that_fits_is_enough() -> None:
    both = "six-1.0-py2.py3-none-any.whl"
    assert TARGET.best_wheel([both, FOREIGN[0]]) == both
    many = f"six-1.0-cp310.cp311-cp310.cp311-win_amd64.{HERE}.whl"
    assert TARGET.best_wheel([both, many]) == many


@pytest.mark.parametrize(("low", "high"), [("", "-1"), ("-1", "-2"), ("-9", "-10"), ("-1a", "-1b"), ("-1", "-1a")])
def test_of_two_builds_the_later_is_taken(low: str, high: str) -> None:
    """A build tag is a number and then a text, as installers compare it."""
    older, newer = f"six-1.0{low}-py3-none-any.whl", f"six-1.0{high}-py3-none-any.whl"
    assert TARGET.best_wheel([older, newer]) == TARGET.best_wheel([newer, older]) == newer


def test_a_more_specific_tag_counts_more_than_a_later_build() -> None:
    assert TARGET.best_wheel([RANKED[0], "six-1.0-9-py3-none-any.whl"]) == RANKED[0]


@pytest.mark.parametrize("python", PYTHONS)
def test_each_python_takes_its_own_wheel(python: str) -> None:
    wheels = [f"six-1.0-cp{other}-cp{other}-{HERE}.whl" for other in ("310", "311", "312", "313", "314")]
    chosen = Target(python=python).best_wheel([*wheels, "six-1.0-py3-none-any.whl"])
    assert chosen == f"six-1.0-cp{python.replace('.', '')}-cp{python.replace('.', '')}-{HERE}.whl"


def test_for_this_python_the_order_is_that_of_packaging() -> None:
    target = Target(python=f"{sys.version_info.major}.{sys.version_info.minor}")
    best_first = [f"six-1.0-{tag}.whl" for tag in sys_tags()]
    for rank in range(0, len(best_first), 7):
        rest = best_first[rank:]
        random.Random(rank).shuffle(rest)
        assert target.best_wheel(rest) == best_first[rank]


# Markers


@pytest.mark.parametrize("python", PYTHONS)
def test_markers_see_the_python_of_the_target_not_ours(python: str) -> None:
    variables = Target(python=python).environment
    assert variables["python_version"] == python
    assert variables["python_full_version"] == variables["implementation_version"] == f"{python}.0"
    assert variables["implementation_name"] == "cpython"
    assert variables["platform_python_implementation"] == "CPython"
    assert Marker(f"python_version == '{python}' and implementation_name == 'cpython'").evaluate(variables)
    assert not Marker("python_version < '3.11' or platform_python_implementation == 'PyPy'").evaluate(variables)
    assert Marker(f"python_full_version >= '{python}'").evaluate(variables)


def test_markers_see_this_machine() -> None:
    variables = TARGET.environment
    assert variables["sys_platform"] == sys.platform
    assert variables["platform_machine"] == host.machine()
    assert variables["platform_system"] == host.system()


def test_the_platform_is_system_and_machine() -> None:
    assert TARGET.platform == this_platform()
    assert this_platform().endswith(host.machine().lower())
    assert this_platform().partition("-")[0] in ("linux", "macos", "windows")


def test_the_default_python_is_supported() -> None:
    assert default_python() in PYTHONS
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert default_python() == (here if here in PYTHONS else "3.11")
