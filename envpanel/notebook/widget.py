"""The panel in a notebook, of plain ipywidgets: all of them are reached and used by keyboard.

Work that takes time runs in a thread, so that the kernel goes on, and Cancel is heard.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

from envpanel.notebook import find
from envpanel.notebook.asking import Asking, compared, history_of, outcome_of, packages_of, preview_of
from envpanel.notebook.client import EnvPanelError, Json, plain
from envpanel.notebook.progress import said
from envpanel.notebook.views import Note, Rows, View, escape

_GROUPS = {
    "FEATURE ENGINEERING": "feature-engineering",
    "MODEL TRAINING": "model-training",
    "MODEL INFERENCE": "model-inference",
}

_ROWS = 50
"""Lines of history that the panel shows."""


class EnvPanel:
    """Pick an environment; see its packages and history; clone, install, compare, restore."""

    def __init__(self, shell: Any = None) -> None:
        self._ui = _ipywidgets()
        find.take(os.environ)
        self._asking = Asking(shell or _shell(), via="widget")
        self._listed: list[Json] = []
        self._plan: tuple[str, Json, str] | None = None
        self._cancelled = threading.Event()
        self._thread: threading.Thread | None = None
        self._filling = False
        self._build()
        self.refresh()

    def refresh(self) -> None:
        """Look again at what there is."""
        self._guarded(self._list)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        data = self.box._repr_mimebundle_(**options)
        bundle = data[0] if isinstance(data, tuple) else data
        if isinstance(bundle, dict):
            # Where the notebook is only looked at, nothing but this is there.
            bundle = {**bundle, "text/html": self._still()}
        return (bundle, data[1]) if isinstance(data, tuple) else bundle

    def _still(self) -> str:
        columns = {"group": "for", "name": "name", "kind": "kind", "head": "rev", "description": "description"}
        rows = [{**item, "group": item["group"].replace("-", " ").upper()} for item in self._listed]
        note = "This is how the environments were; run the cell to have the panel."
        return Rows(rows, columns, note=note, none=note)._repr_html_()

    # Its parts

    def _build(self) -> None:
        ui = self._ui
        wide = ui.Layout(width="100%", max_width="46em")
        described = {"description_width": "8em"}

        def button(text: str, does: Callable[[], None], **options: Any) -> Any:
            made = ui.Button(description=text, **options)
            made.on_click(lambda _: self._guarded(does))
            return made

        def field(text: str, placeholder: str = "") -> Any:
            return ui.Text(description=text, placeholder=placeholder, layout=wide, style=described)

        def choice(text: str) -> Any:
            return ui.Dropdown(options=[], description=text, layout=wide, style=described)

        self.group = ui.ToggleButtons(options=list(_GROUPS), style={"button_width": "auto"})
        self.environment = choice("environment")
        self.facts, self.packages, self.history, self.result = (ui.HTML() for _ in range(4))
        self.old, self.new, self.earlier = choice("from"), choice("to"), choice("revision")
        self.specs = field("packages", "rapidfuzz>=3 cowsay")
        self.why = field("why", "one line for the history")
        self.name = field("new name", "my-features")
        self.said = ui.HTML()
        self.cancel = button("Cancel", self._cancelled.set, disabled=True)
        self.apply = button("Apply", self._apply, disabled=True, button_style="primary")
        self.preview = button("Preview", self._preview)
        self.restore = button("Preview restore", self._restore)
        self.clone = button("Clone", self._clone)
        self.compare = button("Compare", self._compare)
        self.again = button("Refresh", self._list)
        self.group.observe(lambda _: None if self._filling else self._guarded(self._fill), names="value")
        self.environment.observe(lambda _: None if self._filling else self._guarded(self._show), names="value")
        pages = {
            "Packages": [self.packages],
            "History": [self.history],
            "Compare": [self.old, self.new, self.compare],
            "Install": [self.specs, self.preview],
            "Restore": [self.earlier, self.restore],
            "Clone": [self.name, self.clone],
        }
        tabs = ui.Tab(children=[ui.VBox(children) for children in pages.values()])
        for at, title in enumerate(pages):
            tabs.set_title(at, title)
        self.tabs = tabs
        below = ui.HBox([self.apply, self.cancel, self.again])
        self.box = ui.VBox([self.group, self.environment, self.facts, tabs, self.why, below, self.said, self.result])

    # What they do

    def _list(self) -> None:
        self._listed = self._asking.client.environments()
        own = self._asking.own
        mine = next((item for item in self._listed if own is not None and item["name"] == own.environment), None)
        if mine is not None and self.environment.value is None:
            with self._silent():
                self.group.value = next(title for title, value in _GROUPS.items() if value == mine["group"])
        self._fill(mine["name"] if mine is not None else None)

    def _fill(self, preferred: str | None = None) -> None:
        group = _GROUPS[self.group.value]
        before = self.environment.value
        options = [
            (f"{item['name']} · r{item['head']} · {item['kind'].upper()}", item["name"])
            for item in self._listed
            if item["group"] == group
        ]
        names = [name for _, name in options]
        chosen = next((name for name in (before, preferred) if name in names), names[0] if names else None)
        # Other options choose one of them by themselves, which nobody has asked to see.
        with self._silent():
            self.environment.options = options
            self.environment.value = chosen
        self._show()

    @contextlib.contextmanager
    def _silent(self) -> Iterator[None]:
        self._filling = True
        try:
            yield
        finally:
            self._filling = False

    def _show(self) -> None:
        name = self.environment.value
        self._drop_plan()
        if name is None:
            self.facts.value = self.packages.value = self.history.value = ""
            return
        record = self._asking.client.record(name)
        history = history_of(self._asking, name, limit=_ROWS)
        own = self._asking.own
        runs = f" · this kernel runs r{own.revision}" if own is not None and own.environment == name else ""
        facts = f"{name}@{record['number']} · {len(record['packages'])} packages · Python {record['python']}{runs}"
        self.facts.value = Note(facts)._repr_html_()
        self.packages.value = packages_of(record)._repr_html_()
        self.history.value = history._repr_html_()
        numbers = [(f"r{row['revision']} · {plain(row['operation'])}", row["revision"]) for row in history]
        self.old.options = self.new.options = self.earlier.options = numbers
        if len(numbers) > 1:
            self.old.value = self.earlier.value = numbers[1][1]

    def _compare(self) -> None:
        name = self._chosen()
        self._tell(compared(self._asking, (name, self.old.value), (name, self.new.value)))

    def _preview(self) -> None:
        specs = self.specs.value.split()
        if not specs:
            raise EnvPanelError("Name a package, such as pandas>=2.", code="usage")
        self._resolve({"operation": "install", "requirements": specs})

    def _restore(self) -> None:
        self._resolve({"operation": "restore", "revision": self.earlier.value})

    def _resolve(self, change: Json) -> None:
        name = self._chosen()

        def work() -> None:
            preview = self._asking.client.preview(name, change, report=self._report)
            self._plan = (name, change, preview["id"])
            self.apply.disabled = False
            self._tell(preview_of(name, change, preview, to_do="Apply does it, exactly so."))

        self._drop_plan()
        self._begin(work)

    def _apply(self) -> None:
        if self._plan is None:
            raise EnvPanelError("There is nothing to apply; preview a change first.", code="usage")
        name, change, plan = self._plan
        message = self.why.value

        def work() -> None:
            outcome = self._asking.client.apply(name, plan, message=message, report=self._report)
            self._done(name, change, outcome)

        self._drop_plan()
        self._begin(work)

    def _clone(self) -> None:
        source, name, message = self._chosen(), self.name.value.strip(), self.why.value
        if not name:
            raise EnvPanelError("Give the clone a name.", code="usage")
        change = {"operation": "clone", "source": source}

        def work() -> None:
            outcome = self._asking.client.change(name, change, message=message, report=self._report)
            self._done(name, change, outcome)

        self._begin(work)

    def _done(self, name: str, change: Json, outcome: Json) -> None:
        self.why.value = self.specs.value = self.name.value = ""
        self._list()
        if any(name == known for _, known in self.environment.options):
            with self._silent():
                self.environment.value = name
        self._show()
        self._tell(outcome_of(self._asking, name, change, outcome))

    # How it goes

    def _chosen(self) -> str:
        if self.environment.value is None:
            raise EnvPanelError("Pick an environment first.", code="usage")
        return str(self.environment.value)

    def _begin(self, work: Callable[[], None]) -> None:
        """Work that takes time, one at a time."""
        if self._thread is not None and self._thread.is_alive():
            raise EnvPanelError("Another change of this panel is on its way; cancel it, or wait.", code="usage")
        self._cancelled.clear()
        self.result.value = ""
        self.cancel.disabled = False
        self._busy(True)

        def run() -> None:
            try:
                self._guarded(work)
            finally:
                self.said.value = ""
                self.cancel.disabled = True
                self._busy(False)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def _busy(self, busy: bool) -> None:
        for each in (self.preview, self.restore, self.clone):
            each.disabled = busy

    def _report(self, progress: Json) -> None:
        if self._cancelled.is_set():
            # As an interrupt of a cell: clients cancel then.
            raise KeyboardInterrupt
        self.said.value = Note(said(progress))._repr_html_()

    def _drop_plan(self) -> None:
        self._plan = None
        self.apply.disabled = True

    def _guarded(self, does: Callable[[], None]) -> None:
        """Errors are shown in the panel: those of a click would go to a log that nobody looks at."""
        try:
            does()
        except EnvPanelError as error:
            hint = f"<div>{escape(error.hint)}</div>" if error.hint else ""
            lines = "<br>".join(map(escape, error.message.splitlines()))
            self.result.value = f'<div role="alert"><b>Error:</b> {lines}{hint}</div>'

    def _tell(self, view: View) -> None:
        self.result.value = view._repr_html_()


def _shell() -> Any:
    from IPython.core.getipython import get_ipython

    return get_ipython()


def _ipywidgets() -> Any:
    with contextlib.suppress(ImportError):
        # A package of the environment, where it is one.
        return importlib.import_module("ipywidgets")
    raise EnvPanelError(
        "The panel needs ipywidgets, which this environment does not have.",
        hint="%envinstall ipywidgets puts it in; restart the kernel then. All other magics work without it.",
        code="not-found",
    )
