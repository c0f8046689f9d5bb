"""Makes the demo project: an environment with five revisions by two people, and a notebook to look at them from.

`make lab` runs it; a project that is there already stays as it is. All of it is done by the command line, as a
team would do it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

NAME = "churn-features"

STEPS = (
    ("ana", ["clone", "python-feature-pipeline", NAME, "--description", "Features of the churn model, team A"]),
    ("ana", ["install", NAME, "rapidfuzz>=3", "cowsay", "-m", "fuzzy joins of customer names"]),
    ("ben", ["install", NAME, "polars<1.30", "-m", "the scoring job still needs the old polars"]),
    ("ben", ["uninstall", NAME, "cowsay", "-m", "nobody needs it"]),
    ("ana", ["restore", NAME, "2", "-m", "the old polars breaks the joins; back to what worked"]),
)

CELLS = (
    ("markdown", "# Who changed what?\n\nThis notebook runs in the environment `churn-features`, which a team shares."),
    ("code", "import polars\n\npolars.__version__"),
    ("code", "import rapidfuzz\n\nrapidfuzz.fuzz.ratio('Meyer', 'Meier')"),
    ("markdown", "Its history, from a terminal: `envpanel history churn-features`. Any revision comes back exactly."),
    ("code", "!envpanel history churn-features"),
)


def main() -> None:
    """Make the project in the folder that is named, where none is yet."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo").absolute()
    home = folder / ".envpanel"
    if (home / "environments" / NAME / f"{len(STEPS):08d}.json").exists():
        print(f"The demo project is in {folder}.")
        return
    folder.mkdir(parents=True, exist_ok=True)
    print(f"Making a demo project in {folder}: the first time, its packages are downloaded.", flush=True)
    done = len(list((home / "environments" / NAME).glob("*.json")))
    for who, arguments in STEPS[done:]:
        print(
            f"\n{who}$ envpanel {' '.join(each if ' ' not in each else repr(each) for each in arguments)}", flush=True
        )
        env = {**os.environ, "ENVPANEL_HOME": str(home), "JUPYTERHUB_USER": who}
        if subprocess.run([sys.executable, "-m", "envpanel", *arguments], cwd=folder, env=env).returncode != 0:
            raise SystemExit("The demo project is not whole yet; the next try goes on from what is there.")
    notebook = folder / "churn.ipynb"
    if not notebook.exists():
        notebook.write_text(json.dumps(_notebook(), indent=1) + "\n", encoding="utf-8")


def _notebook() -> dict[str, object]:
    cells = [
        {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": source}
        | ({"execution_count": None, "outputs": []} if kind == "code" else {})
        for number, (kind, source) in enumerate(CELLS)
    ]
    kernelspec = {"name": f"envpanel.{NAME}", "display_name": f"{NAME} · FEATURE ENGINEERING", "language": "python"}
    return {"cells": cells, "metadata": {"kernelspec": kernelspec}, "nbformat": 4, "nbformat_minor": 5}


if __name__ == "__main__":
    main()
