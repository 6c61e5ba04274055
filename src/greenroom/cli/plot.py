"""The chart of a test on a terminal: `tuning` draws it as text, here it gets its colours."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

from greenroom.tuning import Chart, terminal_plot

MOST_COLUMNS = 96
STYLES = {"◆": "bold green", "●": "bold cyan", "x": "yellow", "·": "magenta"}
PLAIN = str.maketrans({"◆": "#", "●": "o", "│": "|", "┤": "|", "·": ".", "└": "+", "─": "-"})
LEGEND = "◆ chosen  ● tried  x excluded  │ 95 % interval of the mean  · the model's curve"


class Plot:
    """Cost and duration against memory, as wide as there is room for."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart

    def __rich_measure__(self, _console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(40, min(options.max_width, MOST_COLUMNS))

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        for line in (*terminal_plot(self.chart, min(options.max_width, MOST_COLUMNS)).split("\n"), LEGEND):
            is_canvas = line[10:11] in ("│", "┤")
            text = Text(line.translate(PLAIN) if options.ascii_only else line, no_wrap=True)
            if line == LEGEND:
                text.stylize("dim")
            elif line.startswith(("cost", "duration")):
                text.stylize("bold")
            elif is_canvas:
                text.stylize("dim", 0, 11)
                for column, char in enumerate(line[11:], start=11):
                    if style := STYLES.get(char):
                        text.stylize(style, column, column + 1)
            yield text
