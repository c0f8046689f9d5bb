"""Runs in the interpreter of a prefix: compiles the modules below a folder that have no .pyc yet.

Standard library only. Prints `compiled N of M` as it goes.
"""

import contextlib
import errno
import os
import sys
from importlib.util import cache_from_source
from multiprocessing import Pool
from py_compile import PycInvalidationMode, PyCompileError, compile


def missing(root: str) -> list[str]:
    """The modules without a .pyc, the largest first, so that no process is left with one at the end."""
    found = []
    for folder, _, files in os.walk(root):
        cached = os.path.join(folder, "__pycache__")
        have = set(os.listdir(cached)) if os.path.isdir(cached) else set()
        for name in files:
            path = os.path.join(folder, name)
            if name.endswith(".py") and os.path.basename(cache_from_source(path)) not in have:
                found.append((os.lstat(path).st_size, path))
    return [path for _, path in sorted(found, reverse=True)]


def compile_one(path: str) -> None:
    """Compile a module; templates, links to nothing and the like do not compile, and that is their affair."""
    with contextlib.suppress(PyCompileError, ValueError, RecursionError, UnicodeDecodeError):
        try:
            compile(path, doraise=True, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise


def main(root: str) -> None:
    """Compile all that is missing below `root`."""
    paths = missing(root)
    total = len(paths)
    if total < 50:
        for path in paths:
            compile_one(path)
    else:
        step = max(total // 50, 1)
        with Pool() as pool:
            for done, _ in enumerate(pool.imap_unordered(compile_one, paths, chunksize=8), start=1):
                if done % step == 0:
                    print(f"compiled {done} of {total}", flush=True)
    if total:
        print(f"compiled {total} of {total}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
