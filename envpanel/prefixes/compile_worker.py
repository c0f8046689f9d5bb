"""Runs in the interpreter of a prefix: compiles the modules whose paths a file lists, with NUL between them.

Standard library only. Prints `compiled N of M` as it goes.
"""

import contextlib
import errno
import os
import sys
from multiprocessing import Pool
from py_compile import PycInvalidationMode, PyCompileError, compile


def compile_one(path: str) -> None:
    """Compile a module; templates, links to nothing and the like do not compile, and that is their affair."""
    with contextlib.suppress(PyCompileError, ValueError, RecursionError, UnicodeDecodeError):
        try:
            compile(path, doraise=True, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise


def main(listing: str) -> None:
    """Compile all that the file `listing` lists."""
    with open(listing, "rb") as file:
        paths = [os.fsdecode(path) for path in file.read().split(b"\0")]
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
    print(f"compiled {total} of {total}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
