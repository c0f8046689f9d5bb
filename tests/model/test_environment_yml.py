"""environment.yml: what people and other tools read of a revision."""

from __future__ import annotations

import random

import pytest
import yaml
from factories import a_lock, environment_names, few, locked, locks, many, sha
from hypothesis import given

from envpanel.model.environment_yml import dump, renamed
from envpanel.model.lock import Lock, lock
from envpanel.model.nouns import Origin


def test_it_is_what_conda_and_people_expect() -> None:
    made = a_lock(
        locked("numpy", "2.0"),
        locked("pyspark", "3.5", url=None, origin=Origin.SDIST, kept=True, source_sha256=sha("s")),
    )
    assert dump("churn", made) == (
        "name: churn\n"
        "channels:\n"
        "- conda-forge\n"
        "dependencies:\n"
        "- python=3.11\n"
        "- pip\n"
        "- pip:\n"
        "  - numpy==2.0\n"
        "  - ./wheels/pyspark-3.5-py3-none-any.whl\n"
    )


def test_without_packages_there_is_no_list_of_them() -> None:
    assert yaml.safe_load(dump("churn", a_lock(python="3.13")))["dependencies"] == ["python=3.13", "pip"]


@many
@given(environment_names, locks)
def test_it_pins_exactly_what_the_lock_holds(name: str, made: Lock) -> None:
    document = yaml.safe_load(dump(name, made))
    assert list(document) == ["name", "channels", "dependencies"]
    assert document["name"] == name
    assert document["channels"] == ["conda-forge"]
    python, pip, *rest = document["dependencies"]
    assert (python, pip) == (f"python={made.python}", "pip")
    pins = rest[0]["pip"] if rest else []
    assert pins == [
        f"./wheels/{entry.file}" if entry.kept else f"{entry.name}=={entry.version}" for entry in made.packages
    ]


@few
@given(locks)
def test_no_address_is_in_it(made: Lock) -> None:
    assert "://" not in dump("churn", made)
    assert "example" not in dump("churn", made)


@few
@given(locks)
def test_equal_locks_give_equal_text(made: Lock) -> None:
    shuffled = list(made.packages)
    random.Random(1).shuffle(shuffled)
    same = lock(shuffled, python=made.python, platform=made.platform, engine=made.engine)
    assert dump("churn", same) == dump("churn", made) == dump("churn", Lock.from_toml(made.to_toml()))


@few
@given(environment_names, environment_names, locks)
def test_renamed_it_is_that_of_the_other_name(name: str, other: str, made: Lock) -> None:
    assert renamed(dump(name, made), other) == dump(other, made)


@pytest.mark.parametrize("name", ["null", "true", "on", "no", "yes", "off"])
def test_renamed_to_a_word_of_yaml_it_is_that_of_the_other_name(name: str) -> None:
    made = a_lock(locked("six"))
    assert renamed(dump("churn", made), name) == dump(name, made)
    assert renamed(dump(name, made), "churn") == dump("churn", made)


@few
@given(environment_names, locks)
def test_whichever_writer_there_is_the_text_is_the_same(name: str, made: Lock) -> None:
    """PyYAML's own is written in Python; the other one is not in every build of it."""
    text = dump(name, made)
    assert text == yaml.safe_dump(yaml.safe_load(text), sort_keys=False, default_flow_style=False, width=1000)


@pytest.mark.parametrize("name", ["null", "true", "on", "no", "y", "n", "yes", "off", "e", "inf", "nan"])
def test_names_that_yaml_takes_for_something_else_stay_names(name: str) -> None:
    assert yaml.safe_load(dump(name, a_lock(locked(name))))["name"] == name


def test_a_version_stays_text_and_a_long_pin_one_line() -> None:
    long = "x" * 300
    document = dump("churn", a_lock(locked("a", "1.10"), locked(long, "1!2.0+local.1")))
    assert f"  - {long}==1!2.0+local.1\n" in document
    assert "  - a==1.10\n" in document
