"""The Batch panel: models, a filter and measurements for folders of images, run in a child process, stopped and continued."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import (
    QFileDialog,
    QLabel,
    QMessageBox,
    QPushButton,
)

from napari_dojo.errors import DojoError, explained
from napari_dojo.events import Done, Event, Failed, Message, Progress, Skipped, Written
from napari_dojo.jobs.requests import recipe_request
from napari_dojo.jobs.runs import run_folder
from napari_dojo.models.library import models
from napari_dojo.recipes.check import Explained, explain
from napari_dojo.recipes.recipe import OTHER_RECIPE, Recipe, parsed, read_recipe, text_of, write_recipe
from napari_dojo.recipes.run import in_images
from napari_dojo.tasks import TASKS
from napari_dojo.widgets.batch.files_section import FilesSection
from napari_dojo.widgets.batch.results import Opened, Rows, RowsView, opened, show
from napari_dojo.widgets.batch.steps_section import StepsSection
from napari_dojo.widgets.common.form import Fold, described, form_layout, job_strip, memory, sentence, side_by_side
from napari_dojo.widgets.common.later import later
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.panel import Panel
from napari_dojo.widgets.common.plot import theme_colours
from napari_dojo.widgets.common.run import Runner, time_left
from napari_dojo.widgets.common.words import counted, done_of

__all__ = ["BatchPanel"]

KEY = "batch/recipe"  # of the form in the panels' memory
OBJECTS = 1  # the column of their number
LOOKED_AT = 12  # images of a folder whose size and axes are read while a person chooses
RUN_TIP = (
    "Do all steps for all images. Each image that is done is kept: a run that was stopped continues with the others."
)
RETRY_TIP = "Try the images that were skipped once more; the others are kept."
SHOW_TIP = "All images are done. List their results, and write the tables again."
AGAIN = "Run all again"
NOT_HERE = ", or allow any pixel size"  # what sentences advise, and no step has as a setting


class BatchPanel(Panel):
    """Run a recipe on folders of images.

    Parameters
    ----------
    napari_viewer : the viewer; given by napari.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._explained: Explained | None = None
        self._began, self._first, self._paused_at, self._paused = 0.0, -1, 0.0, 0.0
        self._asked: tuple[Recipe, int] | None = None  # the recipe of the last run, and the number of its files
        self._reached: tuple[Recipe, int] | None = None  # the same, of a run that came to its end
        self._in_the_way = False  # results that another recipe made
        self.files, self.steps = FilesSection(), StepsSection()
        self._open_and_save()
        self.column.addWidget(self.files)
        self.column.addWidget(QLabel("Steps"))
        self.column.addWidget(self.steps)
        form = form_layout()
        form.addRow("Results", self.files.out)
        self.column.addLayout(form)
        self.found = sentence(lines=2)
        self.found.setAccessibleName("What would be done")
        self.column.addWidget(self.found)
        self._go()
        self._outcome()
        self.column.addStretch(1)
        self.runner, self._latest, self._reading = Runner(self), Latest(self), Latest(self)
        self._soon = later(self, 300, self._look)
        self._fresh: tuple[list[Any], list[Any]] = ([], [])  # results and skipped images that are not shown yet
        self._adding = later(self, 200, self._add)
        self._connect()
        self.refresh_models()
        self._remembered()
        self._changed()
        self.lead(self.run_button)
        self._recolour()

    # what is shown

    def _open_and_save(self) -> None:
        self.open_button, self.save_button = QPushButton("Open recipe ..."), QPushButton("Save recipe ...")
        described(self.open_button, "Open a recipe", "Show what a recipe file says (YAML).")
        described(
            self.save_button, "Save the recipe", "Save all choices as a YAML file, which `napari-dojo run` runs, too."
        )
        self.column.addWidget(side_by_side(self.open_button, self.save_button))

    def _go(self) -> None:
        words = ("Run", AGAIN, "Pause", "Stop")
        self.run_button, self.again_button, self.pause_button, self.stop_button = map(QPushButton, words)
        described(self.run_button, "Run", RUN_TIP)
        described(self.again_button, AGAIN, "Do all images once more, and replace the results in the folder.")
        described(self.pause_button, "Pause", "Wait after the current part of the work, or resume it.")
        described(
            self.stop_button, "Stop", "Stop; images that are done are kept, and the next run continues with the others."
        )
        self.again_button.hide()  # until there are results
        running = side_by_side(self.pause_button, self.stop_button)
        tip = "How many images are done, and how long the others will take."
        start = side_by_side(self.run_button, self.again_button, stretch=2)
        self.buttons, self.progress, self.message = job_strip(start, running, tip)
        for widget in (self.buttons, self.progress, self.message):
            self.column.addWidget(widget)

    def _outcome(self) -> None:
        self.results, self.skipped = Rows(("image", "objects")), Rows(("image", "reason"))
        tip = "A click on a row shows the image with its result."
        self.results_view = RowsView(self.results, "Results", tip, 0)
        self.skipped_view = RowsView(self.skipped, "Skipped images", "Which images were skipped, and why.", 1)
        self.results_fold = Fold("Results", self.results_view, is_open=True)
        self.skipped_fold = Fold("Skipped", self.skipped_view)
        for fold in (self.results_fold, self.skipped_fold):
            fold.hide()
            self.column.addWidget(fold)

    def _connect(self) -> None:
        for section in (self.files, self.steps):
            section.changed.connect(self._changed)
        self._latest.told.connect(self._told)
        self._reading.told.connect(self._show)
        self.runner.said.connect(self._heard)
        self.run_button.clicked.connect(lambda: self.run())
        self.again_button.clicked.connect(self._run_again)
        self.pause_button.clicked.connect(self._pause)
        self.stop_button.clicked.connect(self._stop)
        self.open_button.clicked.connect(self._open)
        self.save_button.clicked.connect(self._save)
        self.results_view.chosen.connect(lambda stored: self._reading.ask(opened, stored))

    def refresh_models(self) -> None:
        """List the models that there are now."""
        self.steps.set_models([m for m in models() if m.card.task in TASKS])

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """There may be new models."""
        super().showEvent(event)
        self.refresh_models()

    # the recipe

    @property
    def recipe(self) -> Recipe:
        """What is chosen, with paths as they stand there."""
        axes, out = self.files.axes.text().strip(), self.files.out.path or self.files.usual_out
        return Recipe(self.files.selection, axes or None, out or None, self.steps.steps)

    def show_recipe(self, recipe: Recipe) -> None:
        """Show what a recipe says."""
        self.files.show_recipe(recipe)
        self.steps.show_recipe(recipe)
        self._changed()

    def _remembered(self) -> None:
        text = memory().value(KEY, "")
        if isinstance(text, str) and text:
            try:
                self.show_recipe(parsed(text.encode()))
            except DojoError:
                memory().remove(KEY)  # of another version

    def _open(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(self, "Open a recipe", str(Path.home()), "Recipes (*.yaml *.yml)")
        if chosen:
            self.open_recipe(Path(chosen))

    def open_recipe(self, path: Path) -> None:
        """Show what the recipe in a file says, or why it cannot be read."""
        try:
            self.show_recipe(read_recipe(path))
        except DojoError as error:
            self._failed(str(error))

    def _save(self) -> None:
        start = (
            str(Path(self.files.out.path or Path.home()).with_suffix("") / "recipe.yaml")
            if self.files.out.path
            else "recipe.yaml"
        )
        chosen, _ = QFileDialog.getSaveFileName(self, "Save the recipe", start, "Recipes (*.yaml *.yml)")
        if chosen:
            self.save_recipe(Path(chosen))

    def save_recipe(self, path: Path) -> None:
        """Write what is chosen to a file, or say why not."""
        try:
            write_recipe(path, self.recipe.beside(path.parent))
        except DojoError as error:
            self._failed(str(error))
            return
        self.message.setText(self.marked("ok", f"Saved. On the command line: napari-dojo run {path.name}"))

    # the check

    def _changed(self, *_: Any) -> None:
        if self._ended:
            return
        self._explained, self._in_the_way = None, False
        self._latest.forget()
        self._soon.start()
        self._judge()

    def _look(self) -> None:
        recipe = self.recipe
        memory().setValue(KEY, text_of(recipe))
        if recipe.files.inputs:
            self._latest.ask(explain, recipe, LOOKED_AT)
        self._judge()

    def _told(self, found: Any) -> None:
        self._explained = found if isinstance(found, Explained) else Explained((), (explained(found),))
        self._judge()

    def _judge(self) -> None:
        """Say what would be done, or why it cannot."""
        found, why = self._explained, ""
        if not self.files.selection.inputs:
            why = "Add a folder of images, or files."
        elif found is None:
            self.found.setText("Looking at the images ...")
        elif found.problems:
            why = found.problems[0]
        if why:
            self.found.setText(self.marked("error", why))
        elif found is not None:
            self.found.setText(self._words(found))
        self.found.setToolTip(found.text if found is not None else "")
        can = found is not None and not found.problems
        word, tip = self._next(found) if found is not None else (self.run_button.text(), RUN_TIP)
        self.run_button.setText(word)
        self.run_button.setToolTip(tip if can else why or "Looking at the images ...")
        for button in (self.run_button, self.again_button):
            button.setEnabled(can and not self.runner.busy)
        if found is not None:  # else it would flicker while the images are looked at
            self.again_button.setVisible(found.done > 0 or self._in_the_way)

    def _next(self, found: Explained) -> tuple[str, str]:
        """What a run would do, as the word on its button and its tooltip."""
        if not found.done:
            return "Run", RUN_TIP
        if found.done == found.images:
            return "Show results", SHOW_TIP
        return (
            ("Try skipped again", RETRY_TIP) if self._reached == (self.recipe, found.images) else ("Continue", RUN_TIP)
        )

    def _words(self, found: Explained) -> str:
        images = counted(found.images, "image")
        done = f", {found.done:,} of them done" if found.done else ""
        if not found.misfits:
            return self.marked("ok", f"{images}{done}.")
        name, reason = found.misfits[0][0], found.misfits[0][1].partition(". ")[0]
        first = _in_window(reason if name in reason else f"{name}: {reason}")
        looked = f"Of {LOOKED_AT} looked at, " if found.images - found.done > LOOKED_AT else ""
        count = len(found.misfits)
        begin = ": " if count == 1 else ". The first: "
        return self.marked("warning", f"{images}{done}. {looked}{count} would be skipped{begin}{first}.")

    # the run

    def ask(self, text: str) -> bool:
        """Ask whether to replace results."""
        box = QMessageBox(QMessageBox.Icon.Question, AGAIN, text, parent=self)
        replace = box.addButton("Replace", QMessageBox.ButtonRole.DestructiveRole)
        box.setDefaultButton(box.addButton("Keep", QMessageBox.ButtonRole.RejectRole))
        box.exec()
        return box.clickedButton() is replace

    def _run_again(self) -> None:
        if self.ask(f"Do all images again and replace the results in {self.recipe.folder}?"):
            self.run(overwrite=True)

    def run(self, overwrite: bool = False) -> None:
        """Run what is chosen, or continue an earlier run of it; a model that was deleted meanwhile is found by the check.

        ``overwrite`` : do all images, and replace what is in the folder of the results.
        """
        self.refresh_models()
        if self.runner.busy or self._explained is None or self._explained.problems:
            return
        recipe = self.recipe
        self._asked, self._reached = (recipe, self._explained.images), None
        for rows, fold in ((self.results, self.results_fold), (self.skipped, self.skipped_fold)):
            rows.replace(())
            fold.hide()
        self.message.setText("")
        self.progress.tell(0, 1, "Starting ...")
        self._began, self._first, self._paused = 0.0, -1, 0.0
        self._turn(True)
        folder = run_folder("batch")
        self.runner.start(lambda: recipe_request(folder, recipe, overwrite))

    def _turn(self, running: bool) -> None:
        self.buttons.setCurrentIndex(int(running))
        self.stop_button.setEnabled(running)
        self.pause_button.setEnabled(running)
        self.pause_button.setText("Pause")
        for widget in (self.files, self.steps, self.files.out, self.open_button):
            widget.setEnabled(not running)

    def _pause(self) -> None:
        if self.runner.paused:
            self._paused += time.monotonic() - self._paused_at
            self.runner.resume()
        else:
            self._paused_at = time.monotonic()
            self.runner.pause()
        self.pause_button.setText("Resume" if self.runner.paused else "Pause")

    def _stop(self) -> None:
        self.stop_button.setEnabled(False)
        self.pause_button.setEnabled(False)
        self.progress.setFormat("Stopping ...")
        self.runner.stop()

    def _heard(self, event: Event) -> None:
        if isinstance(event, Progress):
            self._progressed(event)
        elif isinstance(event, Written):
            self._fresh[0].append(_row(event.stored))
            self._add_soon()
        elif isinstance(event, Skipped):
            self._fresh[1].append(((event.name, _in_window(event.reason)), event.name))
            self._add_soon()
        elif isinstance(event, Message) and event.level == "warning":
            self.message.setText(self.marked("warning", event.text))
        elif isinstance(event, Failed):
            self._add()
            self._ready("")
            self._in_the_way = event.code == OTHER_RECIPE
            sentence = f"{event.sentence.removesuffix('.')}: {AGAIN}." if self._in_the_way else event.sentence
            self._failed(_in_window(sentence))
        elif isinstance(event, Done):
            self._done(event)

    def _progressed(self, event: Progress) -> None:
        now = time.monotonic()
        if self._first < 0:
            self._began, self._first = now, event.done
        made, spent = event.done - self._first, now - self._began - self._paused
        left = time_left(spent / made * (event.total - event.done)) if made > 0 and spent > 1 else ""
        (whole,) = in_images(iter((event,)))
        assert isinstance(whole, Progress)
        many = event.total > whole.total
        text = f"{whole.done:,} of {whole.total:,}" if many else f"{100 * event.done // max(1, event.total)} %"
        self.progress.tell(event.done, event.total, f"{text}, {left}" if left else text)

    def _add_soon(self) -> None:
        if not self._adding.isActive():
            self._adding.start()

    def _add(self) -> None:
        """Show what came in the last moment, together: images may be done faster than rows are drawn."""
        for rows, fresh in zip((self.results, self.skipped), self._fresh, strict=True):
            rows.add(fresh)
            fresh.clear()
        self._count()

    def _count(self) -> None:
        for rows, fold, word in (
            (self.results, self.results_fold, "done"),
            (self.skipped, self.skipped_fold, "skipped"),
        ):
            n = rows.rowCount()
            fold.button.setText(f"{n:,} {word}")
            fold.setVisible(n > 0)
        first = self.results.rows[:1]  # a recipe finds objects in all of its images, or in none
        self.results_view.setColumnHidden(OBJECTS, not any(texts[OBJECTS] for texts, _ in first))

    def _done(self, event: Done) -> None:
        facts = event.facts
        self._add()
        self.results.replace(_row(stored) for stored in facts["results"])
        self._count()
        done, count = len(facts["results"]), facts["images"]
        self._ready(
            f"{done:,} of {count:,} in {facts['seconds']:.0f} s" if facts["seconds"] >= 1 else f"{done:,} of {count:,}"
        )
        if facts["stopped"]:
            said = f"Stopped: {done_of(done, count)} and kept. Continue does the others."
            self.message.setText(self.marked("warning", said))
            return
        self._reached = self._asked
        table = f" Table with {counted(facts['rows'], 'row')}: {Path(facts['table']).name}." if facts["table"] else ""
        level = "warning" if facts["skipped"] else "ok"
        skipped = f" {len(facts['skipped']):,} skipped." if facts["skipped"] else ""
        self.message.setText(self.marked(level, f"{done_of(done, count)}.{skipped}{table}"))
        self.message.setToolTip(str(event.result))

    def _ready(self, took: str) -> None:
        self._turn(False)
        self.progress.tell(int(bool(took)), 1, took)
        self._changed()

    def _failed(self, text: str) -> None:
        self.message.setText(self.marked("error", text))
        self.warn_failed(text)

    def _show(self, found: Any) -> None:
        if isinstance(found, Opened):
            show(self.viewer, found)
        else:
            self._failed(explained(found))

    def _recolour(self, event: Any = None) -> None:
        super()._recolour(event)
        self.files.colour(theme_colours(self.viewer)["foreground"])

    def end(self) -> None:
        """The panel is closing."""
        if not self._ended:
            if self._soon.isActive():
                memory().setValue(KEY, text_of(self.recipe))
            self._soon.stop()
            self._adding.stop()
            self._latest.forget()
            self._reading.forget()
            self.runner.close()
            super().end()


def _in_window(text: str) -> str:
    """A sentence without what cannot be chosen here."""
    return text.replace(NOT_HERE, "")


def _row(stored: dict[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """A row of the results, and what it shows."""
    objects = stored.get("objects")
    return (str(stored["name"]), "" if objects is None else f"{objects:,}"), stored
