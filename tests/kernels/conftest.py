"""A project with ipykernel in it, from the index that this machine is set up for; built once."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from real_project import Lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("ENVPANEL_", "JUPYTER", "PYTHONPATH"))]:
            patch.delenv(name)
        # Nothing of whoever runs the tests: no configuration, no other kernels, no history of theirs.
        for name in ("ENVPANEL_CACHE", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
            (folder / name).mkdir()
            patch.setenv(name, str(folder / name))
        patch.chdir(folder)
        made = Lab(folder)
        group = ("--group", "model-training", "--no-kernel")
        made.ok("create", "lab", *group, "ipykernel", "pip")
        made.ok("install", "lab", "cowsay")
        made.ok("create", "bare", *group, "cowsay")
        yield made
        assert made.kernels == [], "a test has left a kernel behind"
