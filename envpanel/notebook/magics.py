"""The line magics: `%envhistory` and its family. Each parses, asks, and gives a value that shows itself."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from envpanel.notebook import find
from envpanel.notebook.asking import Asking, compared, history_of, packages_of
from envpanel.notebook.client import EnvPanelError, Json
from envpanel.notebook.views import Difference, Facts, Rows, Text, counts, data_frame
from envpanel.notebook.widget import EnvPanel

_ATTEMPT = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}")
_REVISION = re.compile(r"r?([1-9][0-9]{0,7})")


class _Parser(argparse.ArgumentParser):
    """A parser that says what is wrong, and ends no kernel."""

    def error(self, message: str) -> NoReturn:
        raise EnvPanelError(
            f"{self.prog}: {message}.", hint=f"{self.usage_line()}; {self.prog} --help tells more.", code="usage"
        )

    def usage_line(self) -> str:
        """How to call it."""
        return " ".join(self.format_usage().split()).replace("usage: ", "Usage: ", 1)


@dataclass(frozen=True)
class Magic:
    """A magic: its name without %, its parser, and what it does with what was parsed."""

    name: str
    parser: _Parser
    run: Callable[[Asking, argparse.Namespace], Any]


def install(shell: Any) -> Asking:
    """Register the magics with IPython."""
    find.take(os.environ)
    asking = Asking(shell)
    for magic in MAGICS.values():
        shell.register_magic_function(_function(asking, magic), "line", magic.name)
    return asking


def _function(asking: Asking, magic: Magic) -> Callable[[str], Any]:
    def function(line: str) -> Any:
        try:
            words = shlex.split(line)
        except ValueError:
            raise EnvPanelError(f"%{magic.name}: a quotation is not closed.", code="usage") from None
        if "--help" in words or "-h" in words:
            print(magic.parser.format_help().rstrip())
            return None
        arguments = magic.parser.parse_intermixed_args(words)
        return magic.run(asking, arguments)

    function.__name__ = magic.name
    function.__doc__ = magic.parser.format_help()
    return function


# The magics, in the order in which one needs them

MAGICS: dict[str, Magic] = {}


def _magic(
    name: str, usage: str, *, examples: str = ""
) -> Callable[[Callable[[Asking, argparse.Namespace], Any]], Magic]:
    """Make a function a magic; its docstring is the help."""

    def decorate(function: Callable[[Asking, argparse.Namespace], Any]) -> Magic:
        epilog = "examples:\n" + "\n".join(f"  {line.strip()}" for line in examples.strip().splitlines())
        parser = _Parser(
            prog=f"%{name}",
            usage=f"%%{name} {usage}".rstrip(),
            description=(function.__doc__ or "").strip(),
            epilog=epilog if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=False,
            allow_abbrev=False,
        )
        parser.add_argument("-h", "--help", action="store_true", help="this text")
        for names, options in getattr(function, "arguments", ()):
            parser.add_argument(*names, **options)
        made = Magic(name, parser, function)
        MAGICS[name] = made
        return made

    return decorate


def _argument(*names: str, **options: Any) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        # Decorators are applied from the last one up.
        function.arguments = [(names, options), *getattr(function, "arguments", ())]
        return function

    return decorate


def _number(text: str) -> int:
    match = _REVISION.fullmatch(text)
    if match is None:
        # Of argparse: it makes a sentence of the parser's of it.
        raise argparse.ArgumentTypeError(f"{text!r} is no revision, such as 3 or r3")
    return int(match[1])


def _positive(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text)


def _target(text: str) -> tuple[str, int | None]:
    """NAME or NAME@N."""
    name, at, number = text.partition("@")
    if at and not _REVISION.fullmatch(number):
        raise EnvPanelError(f"{text!r}: a revision is NAME@N with a number from 1, such as churn@3.", code="usage")
    return name, _number(number) if at else None


_DF = _argument("--df", action="store_true", help="a pandas DataFrame")
_ENV = _argument("env", nargs="?", metavar="ENV", help="the environment [this kernel's]")
_OF = _argument("-e", "--env", metavar="ENV", help="another environment than this kernel's")
_MESSAGE = _argument("-m", "--message", default="", metavar="WHY", help="why: one line for the history")
_DRY_RUN = _argument("--dry-run", action="store_true", help="show what would happen, and change nothing")


def _data(rows: Rows, wanted: bool) -> Any:
    """The rows, or the DataFrame that was asked for."""
    if not wanted:
        return rows
    frame = data_frame(rows)
    if frame is None:
        print("There is no pandas in this environment; this is a list of dicts.", file=sys.stderr)
        return [dict(row) for row in rows]
    return frame


@_magic(
    "envhistory",
    "[ENV] [-n 20] [--package P] [--attempts] [--df]",
    examples="%envhistory\n%envhistory --package polars\ndf = %envhistory -n 100 --df",
)
@_ENV
@_argument("-n", "--limit", type=_positive, default=20, metavar="N", help="at most so many [20]")
@_argument("--package", metavar="P", help="only revisions that changed this package")
@_argument("--attempts", action="store_true", help="instead: what failed, was cancelled or interrupted")
@_DF
def _history(asking: Asking, arguments: argparse.Namespace) -> Any:
    """What changed, who did it, when and why; newest first."""
    name = asking.name(arguments.env)
    if arguments.attempts:
        if arguments.package:
            raise EnvPanelError("--attempts and --package do not go together.", code="usage")
        return _data(_attempts(asking, name, arguments.limit), arguments.df)
    return _data(history_of(asking, name, limit=arguments.limit, package=arguments.package), arguments.df)


def _attempts(asking: Asking, name: str, limit: int) -> Rows:
    rows = [
        {
            "id": entry["id"],
            "created": entry["created"],
            "author": entry["author"]["name"],
            "operation": entry["operation"],
            "state": entry["state"],
            "reason": entry["reason"],
            "hint": entry.get("hint"),
            "message": entry["message"],
        }
        for entry in asking.client.attempts(name, limit=limit)
    ]
    columns = {
        "id": "id",
        "created": "when",
        "author": "who",
        "operation": "what",
        "state": "ended",
        "reason": "reason",
    }
    return Rows(rows, columns, title=name, none=f"No change of {name} has failed.")


@_magic(
    "envdiff",
    "[ENV] [A [B]]",
    examples="%envdiff 1\n%envdiff 1 4\n%envdiff churn-features 1 4\n%envdiff churn@2 fraud@1",
)
@_argument("words", nargs="*", metavar="[ENV] [A [B]]", help="an environment and revisions, or NAME@N twice")
def _diff(asking: Asking, arguments: argparse.Namespace) -> Any:
    """What is different from revision A to revision B, or to the newest one.

    Without A: what the newest revision changed.
    """
    words = list(arguments.words)
    targets = [_target(word) for word in words if not _REVISION.fullmatch(word)]
    numbers = [_number(word) for word in words if _REVISION.fullmatch(word)]
    if len(targets) > 2 or len(numbers) > 2 or (numbers and any(number for _, number in targets)):
        raise EnvPanelError("%envdiff: name an environment and at most two revisions.", code="usage")
    if len(targets) == 2 and not numbers:
        old, new = ((name, number or asking.client.record(name)["number"]) for name, number in targets)
        return compared(asking, old, new)
    if len(targets) > 1:
        raise EnvPanelError("%envdiff: two environments are compared as NAME@N NAME@N.", code="usage")
    name = asking.name(targets[0][0] if targets else None)
    if not numbers:
        record = asking.client.record(name, targets[0][1] if targets else None)
        parent = record["parent"] or record["number"]
        title = f"{name}@{parent} → {name}@{record['number']}"
        refs = {"old": f"{name}@{parent}", "new": f"{name}@{record['number']}"}
        return Difference(record["diff"], title=title, values=refs)
    last = numbers[1] if len(numbers) > 1 else asking.client.record(name)["number"]
    return compared(asking, (name, numbers[0]), (name, last))


@_magic("envlist", "[--package SPEC] [--all] [--df]", examples='%envlist\n%envlist --package "numpy<2"')
@_argument("--package", metavar="SPEC", help="only those that have this package, such as numpy or 'numpy<2'")
@_argument("--all", action="store_true", help="deleted ones, too")
@_DF
def _list(asking: Asking, arguments: argparse.Namespace) -> Any:
    """All environments, by what they are for."""
    found = asking.client.environments(archived=arguments.all)
    keys = ("name", "group", "kind", "head", "packages", "python", "state", "description")
    rows = [{key: item[key] for key in keys} for item in found]
    for row in rows:
        row["group"] = str(row["group"]).replace("-", " ").upper()
    columns = {
        "group": "for",
        "name": "name",
        "kind": "kind",
        "head": "rev",
        "packages": "packages",
        "python": "Python",
        "state": "state",
        "description": "description",
    }
    if arguments.package:
        versions = asking.client.having(arguments.package)
        rows = [{**row, "version": versions[row["name"]]} for row in rows if row["name"] in versions]
        columns["version"] = "version"
    own = asking.own
    note = f"This kernel is of {own.environment}." if own is not None else ""
    return _data(Rows(rows, columns, note=note, none="There is no such environment."), arguments.df)


@_magic("envstatus", "", examples="%envstatus")
def _status(asking: Asking, arguments: argparse.Namespace) -> Any:
    """This kernel: its environment, its revision, and whether there are newer packages."""
    own = asking.own
    if own is None:
        sentence = "This kernel is of no environment of envpanel."
        return Facts({"environment": None, "revision": None}, [sentence, "%envlist shows which there are."])
    client = asking.client
    head, mine = client.record(own.environment), client.record(own.environment, own.revision)
    newer = 0
    if head["content_id"] != mine["content_id"]:
        entries = client.history(own.environment, limit=min(max(head["number"] - own.revision, 1), 1000))
        newer = sum(entry["number"] > own.revision and bool(counts(entry["diff"])) for entry in entries)
    values = {
        "environment": own.environment,
        "revision": own.revision,
        "head": head["number"],
        "behind": newer,
        "packages": len(mine["packages"]),
        "python": mine["python"],
        "asks": client.where,
    }
    behind = "It is on the newest packages."
    if head["content_id"] != mine["content_id"]:
        many = "a newer revision" if newer == 1 else f"{newer} newer revisions"
        behind = f"There {'is' if newer == 1 else 'are'} {many}: restart the kernel to use r{head['number']}, made by "
        behind += f"{head['author']['name']}. %envdiff {own.revision} shows what is different."
    facts = f"{len(mine['packages'])} packages · Python {mine['python']} · {head['group'].replace('-', ' ').upper()}"
    return Facts(values, [f"{own.environment} r{own.revision}", facts, behind])


@_magic("envpackages", "[ENV[@N]] [--df]", examples="%envpackages\n%envpackages churn-features@1")
@_ENV
@_DF
def _packages(asking: Asking, arguments: argparse.Namespace) -> Any:
    """The packages of a revision; without ENV those that this kernel runs."""
    name, number = _targeted(asking, arguments.env)
    return _data(packages_of(asking.client.record(name, number)), arguments.df)


@_magic(
    "envclone",
    "[SOURCE[@N]] NAME [--description T] [-m WHY] [--dry-run]",
    examples="%envclone my-features\n%envclone python-feature-pipeline churn-features -m 'for team A'",
)
@_argument("words", nargs="+", metavar="[SOURCE[@N]] NAME", help="of what [this kernel's environment], and its name")
@_argument("--description", metavar="T", help="what it is for, in a line")
@_MESSAGE
@_DRY_RUN
def _clone(asking: Asking, arguments: argparse.Namespace) -> Any:
    """Make an environment of another's packages."""
    if len(arguments.words) > 2:
        raise EnvPanelError("%envclone: name a source, if it is another than this kernel's, and a name.", code="usage")
    *source, name = arguments.words
    of, number = _target(source[0]) if source else (asking.name(None), None)
    change: Json = {"operation": "clone", "source": of}
    change.update({"revision": number} if number else {})
    change.update({"description": arguments.description} if arguments.description is not None else {})
    return asking.do(name, change, arguments)


@_magic(
    "envinstall",
    "SPEC... [-r FILE] [-m WHY] [--dry-run] [-e ENV]",
    examples='%envinstall cowsay "rapidfuzz>=3" -m "fuzzy joins"\n%envinstall -r requirements.txt --dry-run',
)
@_argument("specs", nargs="*", metavar="SPEC", help="a package, or a version of it: 'pandas>=2'")
@_argument("-r", "--requirement", action="append", default=[], metavar="FILE", help="what a requirements.txt asks for")
@_OF
@_MESSAGE
@_DRY_RUN
def _install(asking: Asking, arguments: argparse.Namespace) -> Any:
    """Install packages, or change which versions are asked for.

    This makes a new revision. Kernels that run stay as they are, and use it from their restart.
    """
    if not arguments.specs and not arguments.requirement:
        raise EnvPanelError("%envinstall: name a package, such as 'pandas>=2', or a file by -r.", code="usage")
    change: Json = {"operation": "install", "requirements": arguments.specs}
    change.update({"files": arguments.requirement} if arguments.requirement else {})
    return asking.do(asking.name(arguments.env), change, arguments)


@_magic("envuninstall", "PKG... [-m WHY] [--dry-run] [-e ENV]", examples="%envuninstall cowsay")
@_argument("packages", nargs="+", metavar="PKG", help="a package")
@_OF
@_MESSAGE
@_DRY_RUN
def _uninstall(asking: Asking, arguments: argparse.Namespace) -> Any:
    """Uninstall packages, and what nothing needs then."""
    change = {"operation": "uninstall", "packages": arguments.packages}
    return asking.do(asking.name(arguments.env), change, arguments)


@_magic("envupgrade", "[PKG...] [-m WHY] [--dry-run] [-e ENV]", examples="%envupgrade pandas\n%envupgrade --dry-run")
@_argument("packages", nargs="*", metavar="PKG", help="a package [all]")
@_OF
@_MESSAGE
@_DRY_RUN
def _upgrade(asking: Asking, arguments: argparse.Namespace) -> Any:
    """Upgrade packages as far as the requirements allow."""
    change = {"operation": "upgrade", "packages": arguments.packages}
    return asking.do(asking.name(arguments.env), change, arguments)


@_magic("envrestore", "N [-m WHY] [--dry-run] [-e ENV]", examples="%envrestore 1")
@_argument("revision", type=_number, metavar="N", help="a revision")
@_OF
@_MESSAGE
@_DRY_RUN
def _restore(asking: Asking, arguments: argparse.Namespace) -> Any:
    """Go back to exactly the packages of an earlier revision: a new revision, and nothing is lost."""
    change = {"operation": "restore", "revision": arguments.revision}
    return asking.do(asking.name(arguments.env), change, arguments)


@_magic("envyaml", "[ENV] [N]", examples="%envyaml\n%envyaml 2\ntext = %envyaml churn-features 2")
@_argument("words", nargs="*", metavar="[ENV] [N]", help="an environment and a revision [those of this kernel]")
def _yaml(asking: Asking, arguments: argparse.Namespace) -> Any:
    """The environment.yml of a revision, with exact pins."""
    env, number = _named(arguments.words, "envyaml")
    name = asking.name(env)
    return Text(asking.client.text(name, asking.number(name, number), "yaml"))


@_magic("envlog", "[ENV] [N | ATTEMPT]", examples="%envlog\n%envlog 2\n%envlog 20260131T101500-3f6c12")
@_argument("words", nargs="*", metavar="[ENV] [N | ATTEMPT]", help="a revision [the newest], or the id of an attempt")
def _log(asking: Asking, arguments: argparse.Namespace) -> Any:
    """What resolver and installer had said.

    Of what failed, too: %envhistory --attempts shows the ids.
    """
    words = list(arguments.words)
    attempt = words.pop() if words and _ATTEMPT.fullmatch(words[-1]) else None
    env, number = _named(words, "envlog")
    name = asking.name(env)
    if attempt is not None:
        return Text(asking.client.attempt_log(name, attempt))
    number = number or int(asking.client.record(name)["number"])
    return Text(asking.client.text(name, number, "log"))


@_magic("envpanel", "", examples="%envpanel")
def _panel(asking: Asking, arguments: argparse.Namespace) -> Any:
    """The panel: pick an environment, see packages and history, clone, install, compare, restore."""
    return EnvPanel(asking.shell)


def _named(words: list[str], magic: str) -> tuple[str | None, int | None]:
    """[ENV] [N], or ENV@N."""
    numbers = [_REVISION.fullmatch(word) for word in words]
    if len(words) > 2 or (len(words) == 2 and (numbers[0] is not None or numbers[1] is None or "@" in words[0])):
        raise EnvPanelError(f"%{magic}: name an environment, or a revision, or both.", code="usage")
    number = _number(words[-1]) if words and numbers[-1] is not None else None
    if words and numbers[0] is None:
        name, at = _target(words[0])
        return name, number or at
    return None, number


def _targeted(asking: Asking, given: str | None) -> tuple[str, int]:
    name, number = _target(given) if given else (None, None)
    found = asking.name(name)
    return found, asking.number(found, number)
