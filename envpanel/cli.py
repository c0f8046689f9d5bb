"""The command line: parses, calls a verb, prints.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage. `--json` prints what the verb gives as JSON, and errors as
`{"code": ..., "message": ...}` on standard error. What takes time to import is imported where it is used: help and
completion must feel immediate.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from envpanel import __version__
from envpanel.errors import Cancelled, EnvPanelError, InvalidInput, NotFound, StoreError
from envpanel.terminal import Terminal

if TYPE_CHECKING:
    from envpanel.kernels.specs import SpecFolder
    from envpanel.model.change import Change
    from envpanel.model.nouns import Progress
    from envpanel.model.requirements_txt import RequirementsTxt
    from envpanel.service import Environments, Outcome, Preview, Signature

_Result = TypeVar("_Result")
_Command = TypeVar("_Command", bound=Callable[..., Any])

_LIST_SECONDS = 120.0
"""How long a search waits for an index that is sending the list of its names."""

GROUPS = ("feature-engineering", "model-training", "model-inference")


class Session:
    """What the options common to all commands say, and what is opened from them at first use."""

    def __init__(self) -> None:
        self.home_option: str | None = None
        self.json = False

    @cached_property
    def home(self) -> str:
        """The folder or address of the home."""
        from envpanel import home

        chosen = self.home_option or os.environ.get("ENVPANEL_HOME")
        return chosen if chosen else str(home.locate(Path.cwd()))

    @cached_property
    def environments(self) -> Environments:
        """The environments of the home."""
        from envpanel import home

        return home.open_environments(self.home, os.environ)

    def writing(self) -> Environments:
        """The environments, in a home that is there from now on."""
        from envpanel import home

        home.prepare(self.home)
        return self.environments

    @cached_property
    def terminal(self) -> Terminal:
        """Where people read."""
        return Terminal()

    @contextmanager
    def progress(self) -> Iterator[Callable[[Progress], None]]:
        """Shows progress. Where a program reads, it gets lines of JSON on standard error if it has asked for them."""
        if self.json:
            yield self._print_progress if os.environ.get("ENVPANEL_PROGRESS") == "json" else lambda _: None
            return
        with self.terminal.progress() as report:
            yield report

    def _print_progress(self, progress: Progress) -> None:
        from envpanel.model import wire

        click.echo(json.dumps(wire.plain(progress)), err=True)

    def print_json(self, value: Any) -> None:
        """A value of the model as JSON."""
        from envpanel.model import wire

        click.echo(json.dumps(wire.plain(value), indent=2, ensure_ascii=False))


@dataclass(frozen=True)
class _Target:
    """NAME or NAME@N."""

    name: str
    revision: int | None


class _TargetType(click.ParamType[_Target]):
    """NAME or NAME@N."""

    name = "target"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> _Target:
        if isinstance(value, _Target):
            return value
        name, at, number = str(value).partition("@")
        if at and not re.fullmatch(r"[1-9][0-9]{0,7}", number):
            self.fail(f"{value!r}: a revision is NAME@N with a number from 1, such as {name or 'churn'}@3.", param, ctx)
        return _Target(name, int(number) if at else None)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        return _complete_names(ctx, param, incomplete)


def _complete_names(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[click.shell_completion.CompletionItem]:
    from click.shell_completion import CompletionItem

    session = ctx.find_object(Session) or Session()
    names = [item.name for item in asyncio.run(session.environments.overview())]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class _Group(click.Group):
    """Commands in the order in which they are written here: as one needs them, not by letter."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def _common(command: _Command) -> _Command:
    """`--home` and `--json`, which every command takes, before or after its name."""

    def remember_home(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            ctx.ensure_object(Session).home_option = value

    def remember_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            ctx.ensure_object(Session).json = True

    command = click.option(
        "--json", "as_json", is_flag=True, expose_value=False, callback=remember_json, help="Print JSON, errors too."
    )(command)
    return click.option(
        "--home",
        metavar="DIR",
        expose_value=False,
        callback=remember_home,
        help="The project's home: a folder or an address [ENVPANEL_HOME; default: the nearest .envpanel upwards].",
    )(command)


_pass_session = click.make_pass_decorator(Session, ensure=True)
_target = click.argument("target", metavar="NAME[@N]", type=_TargetType())
_name = click.argument("name", metavar="NAME", shell_complete=_complete_names)
_message = click.option("-m", "--message", default="", metavar="WHY", help="Why: one line for the history.")
_files = click.option(
    "-r",
    "--requirement",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(),
    help="And what this file (requirements.txt) asks for.",
)
_dry_run = click.option("--dry-run", is_flag=True, help="Show what would happen, and the id to apply it by.")


def _command(
    name: str, *, examples: str = "", group: click.Group | None = None
) -> Callable[[Callable[..., Any]], click.Command]:
    def decorate(function: Callable[..., Any]) -> click.Command:
        epilog = "\b\nExamples:\n" + "\n".join(f"  {line.strip()}" for line in examples.strip().splitlines())
        return (group or cli).command(name, epilog=epilog if examples else None)(_common(_pass_session(function)))

    return decorate


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="envpanel")
@_common
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Shared Python environments with a history: clone, install, see what changed, restore.

    \b
    envpanel clone python-feature-pipeline churn-features
    envpanel install churn-features "rapidfuzz>=3" -m "fuzzy joins"
    envpanel history churn-features
    envpanel restore churn-features 1
    """
    ctx.ensure_object(Session)


# Looking


@_command("list", examples='envpanel list\nenvpanel list --all --json\nenvpanel list --package "numpy<2"')
@click.option("--all", "archived", is_flag=True, help="Deleted ones, too.")
@click.option("--package", metavar="SPEC", help="Only those that have this package, such as numpy or 'numpy<2'.")
def list_(session: Session, archived: bool, package: str | None) -> None:
    """All environments, by what they are for."""
    environments = _run(session.environments.overview(archived=archived))
    if package is not None:
        versions = session.environments.having(package, environments)
        environments = [item for item in environments if item.name in versions]
    if session.json:
        session.print_json(environments)
        return
    session.terminal.environments(environments)


@_command(
    "history",
    examples="""envpanel history churn-features
        envpanel history churn-features --package polars
        envpanel history churn-features --attempts""",
)
@_name
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option("--before", type=click.IntRange(1), metavar="N", help="Only revisions below this number.")
@click.option("--package", metavar="P", help="Only revisions that changed this package.")
@click.option("--attempts", is_flag=True, help="Instead: what failed, was cancelled or interrupted.")
def history(session: Session, name: str, limit: int, before: int | None, package: str | None, attempts: bool) -> None:
    """What changed, who did it, when and why; newest first."""
    if attempts:
        if before is not None or package is not None:
            raise click.UsageError("--attempts goes with --limit only.")
        found = session.environments.attempts(name, limit=limit)
        session.print_json(found) if session.json else session.terminal.attempts(name, found)
        return
    entries = session.environments.history(name, limit=limit, before=before, package=package)
    if session.json:
        session.print_json(entries)
        return
    session.terminal.history(name, entries)


@_command(
    "diff",
    examples="""envpanel diff churn-features 1 4
        envpanel diff churn-features@2 fraud-v2
        envpanel diff churn-features@3""",
)
@click.argument("first", metavar="A[@N]", type=_TargetType())
@click.argument("others", metavar="[B[@M]] | [N M]", nargs=-1)
def diff(session: Session, first: _Target, others: tuple[str, ...]) -> None:
    """What is different between two revisions.

    With A alone: what its newest revision, or revision N, changed.
    """
    environments = session.environments
    if len(others) > 2:
        raise click.UsageError("Give A[@N] and B[@M], or NAME and two revision numbers.")
    if len(others) == 2:
        if first.revision is not None or not all(re.fullmatch(r"[1-9][0-9]{0,7}", each) for each in others):
            raise click.UsageError("Give NAME and two revision numbers, such as: envpanel diff churn-features 1 2")
        old, new = (environments.show(first.name, int(each)) for each in others)
        found = environments.diff(old, new)
    elif others:
        second: _Target = _TargetType().convert(others[0], None, None)
        old, new = (environments.show(each.name, each.revision) for each in (first, second))
        found = environments.diff(old, new)
    else:
        new = environments.show(first.name, first.revision)
        found = new.diff
        old = environments.show(first.name, new.parent) if new.parent else new
    if session.json:
        session.print_json(found)
        return
    session.terminal.out.print(f"[bold]{old.ref} → {new.ref}[/]")
    session.terminal.diff(found)


@_command("show", examples="envpanel show churn-features@2\nenvpanel show churn-features --yaml > environment.yml")
@_target
@click.option("--yaml", "kind", flag_value="yaml", help="The environment.yml of exact pins.")
@click.option("--lock", "kind", flag_value="lock", help="The pylock.toml.")
@click.option("--log", "kind", flag_value="log", help="What resolver and installer said.")
@click.option("--attempt", "attempt_id", metavar="ID", help="Instead: a change that failed (history --attempts).")
def show(session: Session, target: _Target, kind: str | None, attempt_id: str | None) -> None:
    """The record of a revision, or one of its files."""
    environments = session.environments
    if attempt_id is not None:
        if target.revision is not None or kind not in (None, "log"):
            raise click.UsageError("--attempt goes with NAME and --log only.")
        attempt = environments.attempt(target.name, attempt_id)
        if kind == "log":
            text = environments.attempt_log(attempt)
            click.echo(json.dumps({kind: text}) if session.json else text, nl=session.json)
        else:
            session.print_json(attempt) if session.json else session.terminal.attempt(attempt)
        return
    record = environments.show(target.name, target.revision)
    if kind is not None:
        text = environments.file(record, kind)
        click.echo(json.dumps({kind: text}) if session.json else text, nl=session.json)
        return
    if session.json:
        session.print_json(record)
        return
    session.terminal.record(record)


@_command("packages", examples="envpanel packages churn-features\nenvpanel packages churn-features@1 --json")
@_target
def packages(session: Session, target: _Target) -> None:
    """The packages of a revision, and what brought them."""
    record = session.environments.show(target.name, target.revision)
    if session.json:
        keys = ("name", "version", "manager", "requested", "since", "origin")
        session.print_json([{key: getattr(package, key) for key in keys} for package in record.packages])
        return
    session.terminal.packages(record.packages)


@_command("outdated", examples="envpanel outdated churn-features")
@_name
def outdated(session: Session, name: str) -> None:
    """Which packages could be newer, and whether the requirements allow it."""
    with session.progress() as report:
        report(_resolving())
        found = _run(session.environments.outdated(name))
    session.print_json(found) if session.json else session.terminal.outdated(found)


@_command("search", examples="envpanel search scikit\nenvpanel search nmupy")
@click.argument("query", metavar="QUERY")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="At most so many.")
def search(session: Session, query: str, limit: int) -> None:
    """Find packages by name, by a part of one, or in spite of a typo.

    The first search of a day fetches the names that the indexes have.
    """
    with session.progress() as report:
        report(_asking())
        found = _run(session.environments.search(query, limit=limit, wait=_LIST_SECONDS))
    session.print_json(found) if session.json else session.terminal.search(found)


@_command("versions", examples="envpanel versions numpy\nenvpanel versions numpy --python 3.12 --limit 5")
@click.argument("package", metavar="PKG")
@click.option("--python", metavar="3.X", help="For this minor version of Python.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="At most so many.")
def versions(session: Session, package: str, python: str | None, limit: int) -> None:
    """The versions of a package that the indexes have, newest first."""
    with session.progress() as report:
        report(_asking())
        found = _run(session.environments.package(package, python=python))
    session.print_json(found) if session.json else session.terminal.versions(found, limit)


# Making


@_command(
    "create",
    examples='envpanel create fraud --group model-training "scikit-learn>=1.5" xgboost\n'
    "envpanel create our-base --group feature-engineering --base pandas\n"
    "envpanel create churn --group model-training -r requirements.txt",
)
@click.argument("name", metavar="NAME")
@click.argument("specs", metavar="[SPEC...]", nargs=-1)
@_files
@click.option("--group", required=True, type=click.Choice(GROUPS), help="What it is for.")
@click.option("--base", is_flag=True, help="Make it a base of this project: cloned, never changed.")
@click.option("--python", metavar="3.X", help="The minor version of Python.")
@click.option("--no-kernel", is_flag=True, help="Leave ipykernel and ipywidgets out.")
@click.option("--description", default="", metavar="T", help="What it is for, in a line.")
@_message
@_dry_run
def create(
    session: Session,
    name: str,
    specs: tuple[str, ...],
    files: tuple[str, ...],
    group: str,
    base: bool,
    python: str | None,
    no_kernel: bool,
    description: str,
    message: str,
    dry_run: bool,
) -> None:
    """Make an environment of packages."""
    from envpanel.model.nouns import Group, Kind

    asked = _asked(session, specs, files)

    def make(environments: Environments) -> Change:
        return environments.creating(
            asked.requirements,
            constraints=asked.constraints,
            hashes=asked.sorted_hashes,
            group=Group(group),
            kind=Kind.BASE if base else Kind.CUSTOM,
            description=description,
            python=python,
            kernel=not no_kernel,
        )

    _print(session, _change(session, name, make, message, dry_run))


@_command(
    "clone",
    examples='envpanel clone python-feature-pipeline churn-features --description "churn, team A"\n'
    "envpanel clone churn-features@3 churn-test",
)
@click.argument("source", metavar="SOURCE[@N]", type=_TargetType())
@click.argument("name", metavar="NAME")
@click.option("--description", metavar="T", help="What it is for, in a line [default: as the source].")
@_message
@_dry_run
def clone(session: Session, source: _Target, name: str, description: str | None, message: str, dry_run: bool) -> None:
    """Make a custom environment of another's packages."""

    def make(environments: Environments) -> Change:
        return environments.cloning(source.name, source.revision, description=description)

    done = _change(session, name, make, message, dry_run)
    if not dry_run:
        _build_clone(session, name)
        # What a clone is built of is its source's, which may be a base that was not built before.
        _follow(session, source.name)
    _print(session, done)


def _build_clone(session: Session, name: str) -> None:
    try:
        with session.progress() as report:
            _run(session.environments.build(name, report=report))
    except (EnvPanelError, KeyboardInterrupt, asyncio.CancelledError) as error:
        # The clone is there and stays; only this machine has nothing to start it with yet.
        failure = error if isinstance(error, EnvPanelError) else Cancelled("it was cancelled.")
        text = f"{name} is made, but not built here yet: {failure.message}"
        hint = f"It is built at its first use, or by: envpanel build {name}"
        if session.json:
            _print_error(failure.code, text, hint=hint)
        else:
            session.terminal.warning(text, hint)


# Changing


def _change(
    session: Session, name: str, make: Callable[[Environments], Change], message: str, dry_run: bool
) -> Outcome | Preview:
    environments = session.writing()
    with session.progress() as report:
        if dry_run:
            return _run(environments.preview(name, make(environments), report=report))
        outcome = _run(environments.change(name, make(environments), by=_signature(message), report=report))
    _follow(session, name)
    return outcome


def _follow(session: Session, name: str) -> None:
    """Have the kernelspec of an environment in the cache exactly where it can be started."""
    from envpanel.kernels import specs

    folder = specs.in_cache(session.environments.cache, session.home, os.environ)
    # What was asked for is done by now, whatever becomes of this.
    with suppress(EnvPanelError, KeyboardInterrupt, asyncio.CancelledError):
        _run(specs.follow(folder, session.environments, name))


@_command(
    "install",
    examples='envpanel install churn-features "rapidfuzz>=3" cowsay -m "fuzzy joins"\n'
    "envpanel install churn-features -r requirements.txt",
)
@_name
@click.argument("specs", metavar="[SPEC...]", nargs=-1)
@_files
@_message
@_dry_run
def install(
    session: Session, name: str, specs: tuple[str, ...], files: tuple[str, ...], message: str, dry_run: bool
) -> None:
    """Install packages, or change which versions are asked for."""
    from envpanel.model.change import Install

    if not specs and not files:
        raise click.UsageError("Name a package, such as 'pandas>=2', or a file by -r.")
    asked = _asked(session, specs, files)
    change = replace(Install.of(*asked.requirements), constraints=asked.constraints, hashes=asked.sorted_hashes)
    _print(session, _change(session, name, lambda _: change, message, dry_run))


def _asked(session: Session, specs: tuple[str, ...], files: tuple[str, ...]) -> RequirementsTxt:
    """What was typed, and what the files say."""
    from envpanel import home
    from envpanel.model import requirements_txt

    if not files:
        return requirements_txt.RequirementsTxt(requirements=specs)
    found = requirements_txt.load(files, root=home.project_folder(session.home, Path.cwd()))
    if not found.requirements:
        raise InvalidInput(f"{' and '.join(files)} asks for no package.")
    return replace(found, requirements=found.and_also(specs))


@_command("uninstall", examples="envpanel uninstall churn-features cowsay")
@_name
@click.argument("names", metavar="PKG...", nargs=-1, required=True)
@_message
@_dry_run
def uninstall(session: Session, name: str, names: tuple[str, ...], message: str, dry_run: bool) -> None:
    """Uninstall packages, and what nothing needs then."""
    from envpanel.model.change import Uninstall

    _print(session, _change(session, name, lambda _: Uninstall.of(*names), message, dry_run))


@_command("upgrade", examples="envpanel upgrade churn-features pandas\nenvpanel upgrade churn-features --dry-run")
@_name
@click.argument("names", metavar="[PKG...]", nargs=-1)
@_message
@_dry_run
def upgrade(session: Session, name: str, names: tuple[str, ...], message: str, dry_run: bool) -> None:
    """Upgrade packages as far as the requirements allow.

    Those that are named, or all of them.
    """
    from envpanel.model.change import Upgrade

    _print(session, _change(session, name, lambda _: Upgrade.of(*names), message, dry_run))


@_command("restore", examples="envpanel restore churn-features 1")
@_name
@click.argument("revision", metavar="N", type=click.IntRange(1))
@_message
@_dry_run
def restore(session: Session, name: str, revision: int, message: str, dry_run: bool) -> None:
    """Go back to the packages of an earlier revision.

    Exactly to those files; this makes a new revision, and nothing is lost.
    """
    _print(
        session, _change(session, name, lambda environments: environments.restoring(name, revision), message, dry_run)
    )


@_command("describe", examples='envpanel describe churn-features "churn, team A and B"')
@_name
@click.argument("description", metavar="T")
@_message
@_dry_run
def describe(session: Session, name: str, description: str, message: str, dry_run: bool) -> None:
    """Say in a line what it is for."""
    from envpanel.model.change import Describe

    _print(session, _change(session, name, lambda _: Describe(description=description), message, dry_run))


@_command("delete", examples="envpanel delete churn-test")
@_name
@_message
@_dry_run
def delete(session: Session, name: str, message: str, dry_run: bool) -> None:
    """Put an environment away.

    Its history stays, and so does its name: unarchive takes it back.
    """
    from envpanel.model.change import Archive

    _print(session, _change(session, name, lambda _: Archive(), message, dry_run))


@_command("unarchive", examples="envpanel unarchive churn-test")
@_name
@_message
@_dry_run
def unarchive(session: Session, name: str, message: str, dry_run: bool) -> None:
    """Take back a deleted environment."""
    from envpanel.model.change import Unarchive

    _print(session, _change(session, name, lambda _: Unarchive(), message, dry_run))


@_command("apply", examples="envpanel install churn-features polars --dry-run\nenvpanel apply 3f6c…")
@click.argument("plan_id", metavar="PLAN_ID")
@_message
def apply(session: Session, plan_id: str, message: str) -> None:
    """Commit a plan that --dry-run has shown.

    What you saw is what you get, or nothing is changed.
    """
    environments = session.writing()
    with session.progress() as report:
        outcome = _run(environments.apply(plan_id, by=_signature(message), report=report))
    _follow(session, outcome.record.environment)
    _print(session, outcome)


# Using


@cli.command(
    "run",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="\b\nExamples:\n  envpanel run churn-features -- python job.py\n  envpanel run churn@2 -- pytest -x",
)
@_common
@_target
@click.argument("command", metavar="-- CMD [ARG...]", nargs=-1, required=True, type=click.UNPROCESSED)
@_pass_session
def run(session: Session, target: _Target, command: tuple[str, ...]) -> None:
    """Run a command in an environment.

    Its exit code is this command's.
    """
    from envpanel.kernels import start

    command = command[1:] if command[0] == "--" else command
    if not command:
        raise click.UsageError("Name a command behind '--', such as: envpanel run churn-features -- python job.py")
    environments = session.writing()
    with session.progress() as report:
        ready = _run(start.for_program(environments, target.name, target.revision, report=report))
    sys.stdout.flush()
    try:
        ready.replace_process(command, ready.variables(os.environ))
    except OSError as error:
        _fail(session, NotFound(f"{command[0]!r} could not be started in {ready.record.ref}: {error.strerror}."))


@_command("build", examples="envpanel build churn-features\nenvpanel build churn-features@1")
@_target
def build(session: Session, target: _Target) -> None:
    """Make sure that it is built on this machine."""
    environments = session.writing()
    with session.progress() as report:
        prefix = _run(environments.build(target.name, target.revision, report=report))
    _follow(session, target.name)
    _print_path(session, prefix.path)


@_command("path", examples="$(envpanel path churn-features)/bin/python")
@_target
def path(session: Session, target: _Target) -> None:
    """Where it is built on this machine."""
    record = session.environments.show(target.name, target.revision)
    prefix = _run(session.environments.prefix(record))
    if prefix is None:
        raise NotFound(f"{record.ref} is not built on this machine.", hint=f"envpanel build {record.ref} does it.")
    _print_path(session, prefix.path)


@cli.group(
    "kernelspec",
    cls=_Group,
    epilog="\b\nExamples:\n  envpanel kernelspec list\n  envpanel kernelspec install churn --user",
)
@_common
def kernelspec() -> None:
    """Kernels in a Jupyter that has no envpanel.

    Where envpanel is a part of the Jupyter server, they are there by themselves.
    """


@_command("list", group=kernelspec, examples="envpanel kernelspec list")
def list_kernelspecs(session: Session) -> None:
    """Those that every program finds in this JUPYTER_PATH.

    Custom environments, and bases that are built here.
    """
    from envpanel.kernels import specs

    environments = session.environments
    found = specs.wanted(_run(environments.overview()))
    if found:
        specs.in_cache(environments.cache, session.home, os.environ).synchronise(found)
    if session.json:
        names = [{"name": spec.name, "display_name": spec.display_name} for spec in found]
        session.print_json({"path": str(environments.cache), "kernelspecs": names})
        return
    session.terminal.kernelspecs(environments.cache, {spec.name: spec.display_name for spec in found})


_user = click.option("--user", is_flag=True, help="For all Jupyters of yours.")
_prefix = click.option(
    "--prefix", metavar="DIR", help="For the Jupyter that is installed there [default: where envpanel is]."
)


@_command(
    "install",
    group=kernelspec,
    examples="envpanel kernelspec install churn-features --user\nenvpanel kernelspec install churn-features@3",
)
@_target
@_user
@_prefix
def install_kernelspec(session: Session, target: _Target, user: bool, prefix: str | None) -> None:
    """Put an environment into a Jupyter's list of kernels.

    NAME starts its newest revision each time, NAME@N stays with that revision.
    """
    from envpanel.kernels import specs

    record = session.environments.show(target.name, target.revision)
    folder = _spec_folder(session, user, prefix)
    spec = specs.Spec(environment=record.environment, group=record.group, revision=target.revision)
    folder.write(spec)
    _print_path(session, folder.path / spec.name)


@_command("uninstall", group=kernelspec, examples="envpanel kernelspec uninstall churn-features --user")
@_target
@_user
@_prefix
def uninstall_kernelspec(session: Session, target: _Target, user: bool, prefix: str | None) -> None:
    """Take it out again; the environment stays."""
    from envpanel.kernels import specs

    folder = _spec_folder(session, user, prefix)
    name = specs.spec_name(target.name, target.revision)
    if not folder.remove(name):
        raise NotFound(f"There is no kernelspec {name} of envpanel in {folder.path}.")
    _print_path(session, folder.path / name)


def _spec_folder(session: Session, user: bool, prefix: str | None) -> SpecFolder:
    from jupyter_core.paths import jupyter_data_dir

    from envpanel.kernels import specs

    if user and prefix is not None:
        raise click.UsageError("--user and --prefix are two different places.")
    data = Path(jupyter_data_dir()) if user else Path(prefix or sys.prefix).absolute() / "share" / "jupyter"
    return specs.SpecFolder(
        path=data / "kernels", home=specs.absolute(session.home), variables=specs.variables(os.environ)
    )


@_command("verify", examples="envpanel verify\nenvpanel verify churn-features@2\nenvpanel verify --repair")
@click.argument("target", metavar="[NAME[@N]]", required=False, type=_TargetType())
@click.option("--repair", is_flag=True, help="Put bad records aside, and build damaged environments anew.")
def verify(session: Session, target: _Target | None, repair: bool) -> None:
    """Check that history and built files are whole.

    Numbers, chain, digests and stored files, and every file of what is built here. Exit code 1 where something is
    wrong.
    """
    name, number = (target.name, target.revision) if target is not None else (None, None)
    environments = session.writing() if repair else session.environments
    with session.progress() as report:
        result = _run(environments.verify(name, number, repair=repair, report=report))
    if session.json:
        content = {"checked": result.checked, "problems": result.problems}
        session.print_json({**content, "repaired": result.repaired} if repair else content)
    else:
        session.terminal.verification(result)
    if result.problems:
        raise SystemExit(1)


@_command("completion", examples="envpanel completion bash >> ~/.bashrc")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(session: Session, shell: str) -> None:
    """Print what makes a shell complete commands and names."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "envpanel", "_ENVPANEL_COMPLETE").source())


# Edges


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its code: errors become a sentence here, once."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    session = Session()
    # Known before the options are read: a mistake in them is printed as JSON, too.
    session.json = "--json" in arguments[: arguments.index("--") if "--" in arguments else None]
    try:
        code = cli.main(arguments, prog_name="envpanel", standalone_mode=False, obj=session)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        raise SystemExit(2) from None
    except click.ClickException as error:
        if session.json:
            _print_error("usage", error.format_message())
        else:
            error.show()
        raise SystemExit(error.exit_code) from None
    except (click.Abort, KeyboardInterrupt, asyncio.CancelledError):
        _fail(session, Cancelled("Cancelled; nothing was changed."))
    except BrokenPipeError:
        # `envpanel history NAME | head`: what is left has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except EnvPanelError as error:
        _fail(session, error)
    except OSError as error:
        _fail(session, StoreError(f"{error.filename or 'The disk'}: {error.strerror}."))
    raise SystemExit(code if isinstance(code, int) else 0)


def _fail(session: Session, error: EnvPanelError) -> NoReturn:
    if session.json:
        _print_error(error.code, error.message, hint=error.hint, log=error.log, **error.details)
    else:
        session.terminal.error(error)
    raise SystemExit(1)


def _run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a verb to its end; Ctrl-C and SIGTERM cancel it, and what it has started with it."""

    async def cancellable() -> _Result:
        task = asyncio.current_task()
        if task is not None and sys.platform != "win32":
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    return asyncio.run(cancellable())


def _signature(message: str) -> Signature:
    from envpanel.authors import os_author
    from envpanel.model.nouns import Via
    from envpanel.service import Signature

    # The magics of a kernel without a server come this way.
    edge = os.environ.get("ENVPANEL_VIA")
    via = Via(edge) if edge in (Via.MAGIC, Via.WIDGET) else Via.CLI
    return Signature(author=os_author(os.environ), via=via, message=message)


def _print_path(session: Session, path: Path) -> None:
    if session.json:
        session.print_json({"path": str(path)})
    else:
        click.echo(path)


def _asking() -> Progress:
    from envpanel.model.nouns import Progress

    return Progress(phase="asking the package indexes")


def _resolving() -> Progress:
    from envpanel.model.nouns import Progress

    return Progress(phase="resolving")


def _print(session: Session, done: Outcome | Preview) -> None:
    """What a change did, or would do."""
    from envpanel.service import Preview

    if isinstance(done, Preview):
        session.print_json(done) if session.json else session.terminal.preview(done)
    else:
        session.print_json(done.record) if session.json else session.terminal.outcome(done)


def _print_error(code: str, message: str, **more: object) -> None:
    """As programs read it."""
    content = {"code": code, "message": message, **{key: value for key, value in more.items() if value is not None}}
    click.echo(json.dumps(content, ensure_ascii=False), err=True)
