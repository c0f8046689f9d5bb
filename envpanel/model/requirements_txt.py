"""requirements.txt, read: what is asked for, and every line that is not taken, by file and number.

Source of the format: pip's "Requirements File Format", of which this takes requirements with markers, extras and
`--hash`, comments, continued lines, `-r` and `-c`. The rest (indexes, paths, addresses, variables) is refused by name
and never left out in silence. What reaches a resolver is written from the parsed form (`requirements`).

`load` alone reads files; the rest is text in, values out.
"""

from __future__ import annotations

import codecs
import os
import re
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from envpanel.errors import InvalidInput, InvalidRequirement
from envpanel.model import requirements, wire

LONGEST = 1 << 20
"""Longer files (in bytes) are refused: nobody has written them by hand."""
DEEPEST = 10
"""Files that name files that name files: deeper than this they are refused."""
MOST = 20_000
"""More lines that say something are refused, of all files together."""

_LONGEST_LINE = 100_000
_TOLD = 5
"""So many lines are named in a sentence; all of them are in the details of the error."""

_COMMENT = re.compile(r"(?:^|\s)#.*")
# They end a line for Python and pip, and for hardly anybody's editor: what stands behind them would not be seen.
_HIDDEN_ENDS = re.compile("[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_SHA256 = re.compile(r"sha256:([0-9a-fA-F]{64})")
_FILES = re.compile(r"\.(whl|zip|egg|tar|t?gz|bz2|xz|txt|toml|ya?ml|cfg|py)$", re.IGNORECASE)
_WHERE_INDEXES_ARE = "indexes are set in settings.yaml, or by UV_DEFAULT_INDEX and UV_INDEX"
_NAMING_A_FILE = ("-r", "--requirement", "-c", "--constraint")
_OPTIONS = {
    "-i": _WHERE_INDEXES_ARE,
    "--index-url": _WHERE_INDEXES_ARE,
    "--pypi-url": _WHERE_INDEXES_ARE,
    "--extra-index-url": _WHERE_INDEXES_ARE,
    "--no-index": "UV_NO_INDEX does that",
    "-f": "UV_FIND_LINKS does that",
    "--find-links": "UV_FIND_LINKS does that",
    "--trusted-host": "UV_INSECURE_HOST does that",
    "--pre": "name the pre-release in the requirement, such as 'pandas>=3.0rc1'",
    "--no-binary": "wheels are taken where there are any",
    "--only-binary": "wheels are taken where there are any",
    "--prefer-binary": "wheels are taken where there are any",
    "--require-hashes": "hashes are checked where a line has some",
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file: its name for sentences, what is in it, the folder from which it names others, and what it is known by."""

    name: str
    data: bytes
    folder: Path = Path()
    key: str = ""


Reader = Callable[[str, Source], Source]
"""The file at a path, as another file names it.

Raises:
    ValueError: why it is not read, as the end of a sentence that begins with the path.
"""


@dataclass(frozen=True, kw_only=True)
class LineProblem:
    """A line that is not taken: where it stands, its text without secrets, and why, in a sentence."""

    file: str
    line: int
    text: str
    message: str


@dataclass(frozen=True, kw_only=True)
class RequirementsTxt:
    """What one or more files say.

    `requirements` and `constraints` are lines as `requirements.normalise` writes them. `hashes`: for a name (PEP 503),
    the sha256 of the files of which the chosen one has to be.
    """

    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    hashes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    problems: tuple[LineProblem, ...] = ()

    @property
    def sorted_hashes(self) -> dict[str, tuple[str, ...]]:
        """The hashes in the one order in which a change has them."""
        return {name: tuple(sorted(found)) for name, found in sorted(self.hashes.items())}

    def and_also(self, specs: Iterable[str]) -> tuple[str, ...]:
        """The requirements, with those that were typed besides.

        Raises:
            InvalidRequirement: one of these is no specification.
            InvalidInput: one asks for a package in another way than a file does.
        """
        lines = {_key(line): line for line in self.requirements}
        for spec in specs:
            line = requirements.normalise(spec)
            known = lines.setdefault(_key(line), line)
            if known != line:
                raise InvalidInput(
                    f"{requirements.parse(line).name} is asked for in two ways: {known!r} in a file, and {line!r}.",
                    hint="Write it once, with all that is wanted of it.",
                )
        return tuple(lines.values())


def load(paths: Sequence[str | Path], *, root: Path) -> RequirementsTxt:
    """What these files ask for, which may be anywhere; the files that they name must be below `root`.

    Raises:
        InvalidInput: a file cannot be read, or has lines that are not taken; the first few are named in the sentence.
    """
    base = Path(os.path.realpath(root))

    def source(path: Path) -> Source:
        real = Path(os.path.realpath(path))
        name = str(real.relative_to(base)) if real.is_relative_to(base) else str(path)
        return Source(name=_printable(name), data=_read(real), folder=Path.cwd() / path.parent, key=str(real))

    def nested(path: str, beside: Source) -> Source:
        target = beside.folder / path
        if not Path(os.path.realpath(target)).is_relative_to(base):
            raise ValueError("is outside of the project's folder, and is not read")
        return source(target)

    sources = []
    for path in paths:
        try:
            sources.append(source(Path(path)))
        except ValueError as error:
            raise InvalidInput(f"{_printable(str(path))} {error}.") from error
    return checked(parse(sources, nested))


def parse(sources: Iterable[Source], nested: Reader) -> RequirementsTxt:
    """What these files ask for; `nested` reads the ones that they name. What is wrong in them is in `problems`."""
    reading = _Reading(nested)
    for source in sources:
        reading.file(source, as_constraints=False, chain=())
    return RequirementsTxt(
        requirements=tuple(reading.requirements),
        constraints=tuple(reading.constraints),
        hashes={name: frozenset(found) for name, found in reading.hashes.items()},
        problems=tuple(reading.problems),
    )


def checked(found: RequirementsTxt) -> RequirementsTxt:
    """The same, where every line of it is taken.

    Raises:
        InvalidInput: with the first few of the lines that are not; `details["problems"]` has all.
    """
    if not found.problems:
        return found
    told = [
        f"{problem.file} line {problem.line}{f' ({problem.text!r})' if problem.text else ''}: {problem.message}"
        for problem in found.problems[:_TOLD]
    ]
    more = len(found.problems) - len(told)
    raise InvalidInput(
        " ".join(told) + (f" And {more} more." if more else ""),
        hint="Nothing was taken: write these lines otherwise, or leave them out.",
        details={"problems": [wire.plain(problem) for problem in found.problems]},
    )


class _Reading:
    """What has been read so far."""

    def __init__(self, nested: Reader) -> None:
        self._nested = nested
        self.requirements: dict[str, None] = {}
        self.constraints: dict[str, None] = {}
        self.hashes: dict[str, set[str]] = {}
        self.problems: list[LineProblem] = []
        self._asked: dict[tuple[str, str], tuple[str, frozenset[str], str]] = {}
        self._done: set[tuple[str, bool]] = set()
        self._count = 0

    def file(self, source: Source, *, as_constraints: bool, chain: tuple[str, ...]) -> None:
        """Read a file, and those that it names. `chain` are the files that led to it."""
        key = source.key or source.name
        if (key, as_constraints) in self._done:
            # The same lines once more ask for nothing else.
            return
        for number, text in self._lines(source):
            refuse = _Refusals(self.problems, source.name, number, text)
            if text.startswith("-"):
                self._option(source, text, refuse, as_constraints, (*chain, key))
            else:
                self._requirement(f"{source.name} line {number}", text, refuse, as_constraints)
        self._done.add((key, as_constraints))

    def _lines(self, source: Source) -> Iterator[tuple[int, str]]:
        """The lines that say something, continued ones put together, without comments; each with its number."""
        if len(source.data) > LONGEST:
            _Refusals(self.problems, source.name, 1, "")(f"the file is longer than {LONGEST >> 20} MiB.")
            return
        try:
            text = _decoded(source.data)
        except UnicodeDecodeError as error:
            number = source.data[: error.start].count(b"\n") + 1
            _Refusals(self.problems, source.name, number, "")("the file is not UTF-8.")
            return
        for number, line in _joined(re.split(r"\r\n|\r|\n", text)):
            refuse = _Refusals(self.problems, source.name, number, line)
            if _HIDDEN_ENDS.search(line):
                refuse("a character in it ends the line for some programs and not for others.")
                continue
            said = _COMMENT.sub("", line).replace("\t", " ").strip(" ")
            if not said:
                continue
            self._count += 1
            if self._count > MOST:
                refuse(f"there are more than {MOST} lines.")
                return
            if len(said) > _LONGEST_LINE:
                refuse(f"it is longer than {_LONGEST_LINE} characters.")
            elif not said.isprintable():
                refuse("a character in it cannot be seen.")
            elif "${" in said:
                refuse("variables are not filled in: write what is meant.")
            else:
                yield number, said

    def _option(
        self, source: Source, text: str, refuse: _Refusals, as_constraints: bool, chain: tuple[str, ...]
    ) -> None:
        match = re.match(r"(--[\w-]+|-\w)(?:\s*=\s*|\s+)?(.*)", text)
        option, rest = (match[1], match[2]) if match else (text.split()[0], "")
        if option in ("-e", "--editable"):
            return refuse("a package that is edited while it is installed is not supported.")
        if option not in _NAMING_A_FILE:
            reason = _OPTIONS.get(option)
            told = f"the option {option} is not supported in a file" if re.fullmatch(r"[\w-]+", option) else "an option"
            return refuse(f"{told}; {reason}." if reason else f"{told}: it is not known here.")
        try:
            values = shlex.split(rest)
        except ValueError:
            return refuse("a quotation mark in it is not closed.")
        if len(values) != 1 or not values[0]:
            return refuse("it has to name one file, and nothing else.")
        (path,) = values
        if "://" in path:
            return refuse("a file at an address is not read.")
        asks_for_constraints = option in ("-c", "--constraint")
        if as_constraints and not asks_for_constraints:
            return refuse("a file of constraints cannot ask for packages: use -c.")
        if len(chain) >= DEEPEST:
            return refuse(f"files that name files go deeper than {DEEPEST} here.")
        try:
            inner = self._nested(path, source)
        except ValueError as error:
            return refuse(f"{_shown(path)!r} {error}.")
        if (inner.key or inner.name) in chain:
            return refuse(f"it leads back to {inner.name}, which is being read already.")
        return self.file(inner, as_constraints=asks_for_constraints, chain=chain)

    def _requirement(self, where: str, text: str, refuse: _Refusals, as_constraint: bool) -> None:
        spec, *options = re.split(r"\s(?=-)", text, maxsplit=1)
        hashes = self._hashes(options[0], refuse) if options else frozenset()
        if hashes is None:
            return None
        why = _no_package(spec)
        if why is not None:
            return refuse(why)
        try:
            parsed = requirements.parse(spec)
        except InvalidRequirement as error:
            return refuse(f"it is not a package specification. {error.hint or ''}".rstrip())
        line = str(parsed)
        if as_constraint:
            if parsed.extras:
                return refuse("a constraint cannot have extras.")
            self.constraints[line] = None
        else:
            key = parsed.name, str(parsed.marker or "")
            known, before, first = self._asked.setdefault(key, (line, hashes, where))
            if known != line:
                return refuse(f"{parsed.name} is asked for as {known!r} in {first}: write it once.")
            if before and hashes and before != hashes:
                return refuse(f"{parsed.name} has other hashes in {first}.")
            self._asked[key] = line, before or hashes, first
            self.requirements[line] = None
        if hashes:
            self.hashes.setdefault(parsed.name, set()).update(hashes)
        return None

    def _hashes(self, text: str, refuse: _Refusals) -> frozenset[str] | None:
        """The sha256 that stand behind a requirement; None where something else does."""
        found = set()
        tokens = iter(text.split())
        for token in tokens:
            option, equals, value = token.partition("=")
            if option != "--hash":
                refuse("no option but --hash is supported behind a requirement.")
                return None
            match = _SHA256.fullmatch(value if equals else next(tokens, ""))
            if match is None:
                refuse("a hash must be of the form --hash=sha256:… with 64 digits.")
                return None
            found.add(match[1].lower())
        return frozenset(found)


@dataclass(frozen=True)
class _Refusals:
    """Puts down why a line is not taken."""

    problems: list[LineProblem]
    file: str
    line: int
    text: str

    def __call__(self, message: str) -> None:
        text = _shown(self.text)
        self.problems.append(LineProblem(file=self.file, line=self.line, text=text, message=message))


def _joined(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Lines with those that a backslash at the end continues, as pip joins them: a comment ends what it stands in."""
    first, parts = 0, list[str]()
    for number, line in enumerate(lines, start=1):
        is_comment = re.match(r"\s*#", line) is not None
        first = first if parts else number
        if line.endswith("\\") and not is_comment:
            parts.append(line.strip("\\"))
            continue
        parts.append(f" {line}" if is_comment else line)
        yield first, "".join(parts)
        parts = []
    if parts:
        yield first, "".join(parts)


def _no_package(spec: str) -> str | None:
    """Why this is none that comes from an index, where that can be told."""
    target = re.sub(r"^[\w.\s-]+(\[[^\]]*\])?\s*@\s*", "", spec[:1000])
    if re.match(r"(git|hg|svn|bzr)\+", target):
        return "packages of a repository (git+…) are not supported yet: name one of an index."
    if "://" in target:
        return "packages at an address are not supported yet: name one of an index."
    name = re.split(r"[;\[<>=!~\s]", target, maxsplit=1)[0]
    if re.match(r"[./~\\]", target) or re.search(r"[/\\]", name) or _FILES.search(name):
        return "packages at a path are not supported yet: name one of an index."
    if target != spec[:1000]:
        return "packages at an address are not supported yet: name one of an index."
    return None


def _decoded(data: bytes) -> str:
    # pip takes what the editors of Windows write, too.
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding)
    return data.decode()


def _read(path: Path) -> bytes:
    """The bytes of a file, one more than may be.

    Raises:
        ValueError: why not, as the end of a sentence that begins with the file's name.
    """
    try:
        # A pipe would keep us waiting.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ValueError("is not a file")
            return file.read(LONGEST + 1)
    except FileNotFoundError as error:
        raise ValueError("does not exist") from error
    except IsADirectoryError as error:
        raise ValueError("is a folder") from error
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error


def _key(line: str) -> tuple[str, str]:
    parsed = requirements.parse(line)
    return parsed.name, str(parsed.marker or "")


def _shown(text: str) -> str:
    """For sentences: short, printable, nothing of an address and nothing behind an option, where secrets stand."""
    told = text[:1000].strip()
    option = re.match(r"--[\w-]+|-\w?", told)
    rest: Sequence[str]
    if option is None:
        told, *rest = re.split(r"\s(?=-)", told, maxsplit=1)
    elif option[0] in _NAMING_A_FILE:
        rest = ()
    else:
        told, rest = option[0], told[option.end() :]
    told = re.sub(r"://.*", "://…", told, flags=re.DOTALL)
    told = _printable(re.sub(r"\S*:\S*@\S*", "…", told)) + (" …" if rest else "")
    return told if len(told) <= 80 else f"{told[:79]}…"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
