"""A front end for tests: the test decides what the user answers, and which cell is running."""

from runware_nb.engine.front_end import ScriptFrontEnd


class FakeFrontEnd(ScriptFrontEnd):
    """A script's front end, until a test sets more.

    Attributes:
        asks: Called with each question; returns the answer. None for a front end that cannot ask.
        cell: Called for the cell that is running; None for a script.
        progress: What `show_progress` was called with.
    """

    def __init__(self):
        self.asks = self.cell = None
        self.progress = []

    @property
    def can_ask(self):
        return self.asks is not None

    def confirm(self, question):
        return None if self.asks is None else self.asks(question)

    def current_cell(self, *, counts=True):
        return super().current_cell(counts=counts) if self.cell is None else self.cell()

    def show_progress(self, done, total, what):
        self.progress.append((done, total, what))
