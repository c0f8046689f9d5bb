"""What packages need of the machine that no package index has."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from envpanel.model.nouns import PlanWarning


def missing(packages: Iterable[str], environ: Mapping[str, str]) -> list[PlanWarning]:
    """A warning for each of these packages that will not work here, for a program that it needs is not found."""
    if "pyspark" in set(packages) and not _has_java(environ):
        message = "pyspark needs Java 17 or later, and no java was found on PATH or in JAVA_HOME."
        return [PlanWarning(code="no-java", package="pyspark", message=message)]
    return []


def _has_java(environ: Mapping[str, str]) -> bool:
    # As Spark's own scripts look for it: JAVA_HOME goes before PATH.
    home = environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").exists():
        return True
    return shutil.which("java", path=environ.get("PATH", "")) is not None
