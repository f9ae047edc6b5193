"""Read the records of a CSV, although stray quotes open cells that never close."""

import csv
import re
from collections import deque
from functools import lru_cache


class Records:
    """The records of a CSV, as lists of strings. Iterate over them once.

    A quote at the start of a cell makes one cell of all text up to the next quote, perhaps many
    rows later. Such a quote shows by the lines in the cell, which are records of their own. It
    is ignored, and the lines after its own are read again. Records whose quotes are in order and
    that have as many cells as the header are never changed.

    Args:
        lines: an iterator of the lines, with their line ends.
        delimiter: the character between two cells.
        on_repair: a function that is called when a record was read without its stray quote.
    """

    def __init__(self, lines, delimiter, on_repair):
        self.lines, self.delimiter, self.on_repair = lines, delimiter, on_repair
        self.waiting = deque()  # lines to read again
        self.taken = []  # the lines of the current record
        self.width = 0  # cells of the header

    def __iter__(self):
        """Yield the records.

        Raises:
            csv.Error: a cell is longer than `csv.field_size_limit()`.
        """
        reader, taken = self.start(strict=True), self.taken
        while True:
            error, row = None, []
            try:
                row = next(reader)
                is_usual = len(taken) == 1 and len(row) == self.width
            except StopIteration:
                return
            except csv.Error:  # a quoted cell has text after its end, or no end
                is_usual = False
                self.put_back(taken)
                try:
                    row = next(self.start(strict=False))
                except csv.Error as reason:
                    error = reason
                reader = self.start(strict=True)
            if not is_usual and self.repair(len(row)):
                self.on_repair()
                reader = self.start(strict=True)
                continue
            if error:
                raise error
            self.width = self.width or len(row)
            taken.clear()
            yield row

    def start(self, strict):
        """Return a reader from the next line on; `strict` is an option of csv."""
        return csv.reader(self.take_lines(), delimiter=self.delimiter, strict=strict)

    def take_lines(self):
        """Yield the next lines and keep them in `taken`."""
        while True:
            while self.waiting:
                self.taken.append(self.waiting.popleft())
                yield self.taken[-1]
            for line in self.lines:
                self.taken.append(line)
                yield line
                if self.waiting:
                    break
            else:
                return

    def put_back(self, lines):
        """Put back lines to be read again, in place of the current record."""
        self.waiting.extendleft(reversed(lines))
        self.taken.clear()

    def repair(self, count):
        """Put the lines of the current record back without its stray quote, if it has one.

        Args:
            count: the number of cells of the record as it is.

        Returns:
            Whether it has one.
        """
        text = "".join(self.taken)
        if '"' not in text:
            return False
        cells = split_cells(text, self.delimiter)
        is_clean = all(map(is_clean_cell, cells)) and not self.is_next_line_odd()
        used, head = 0, ""
        for cell in cells:
            while len(head) <= cell.start() and used < len(self.taken):
                head += self.taken[used]
                used += 1
            if cell["quoted"] is None or is_clean_cell(cell) and cell.end("cell") <= len(head):
                continue
            repaired = head[: cell.start()] + head[cell.start() + 1 :]
            if cell["close"] and cell.end("cell") <= len(head):  # it ends on its line
                is_stray = self.is_start(split_cells(repaired, self.delimiter))
            else:
                is_stray = self.is_stray(count, repaired, self.taken[used:], is_clean)
            if is_stray:
                self.put_back([repaired, *self.taken[used:]])
                return True
        return False

    def is_start(self, cells):
        """Return whether cells are a record without a fault, or the first lines of one."""
        is_open = cells[-1]["close"] == ""
        fits = len(cells) <= self.width if is_open else len(cells) == self.width
        return is_clean_start(cells) and fits

    def is_next_line_odd(self):
        """Return whether the next line has a quote within a cell, as the end of a quoted cell."""
        line = self.waiting[0] if self.waiting else next(self.lines, None)
        if line is None:
            return False
        if not self.waiting:
            self.waiting.append(line)
        return not is_clean_start(split_cells(line, self.delimiter))

    def is_stray(self, count, repaired, lines, is_clean):
        """Return whether the first quote of a cell that spans lines is stray.

        Args:
            count: the number of cells of the record as it is.
            repaired: the text of the record without the quote, up to the end of the line.
            lines: the further lines of the record.
            is_clean: whether the record is free of other faults of its quotes.
        """
        cells = len(split_cells(repaired, self.delimiter))
        width = self.width or cells
        if width < 2 or (is_clean and count == (self.width or count)):
            return False
        lines = [split_cells(line, self.delimiter) for line in lines if line.strip()]
        if not lines:  # the quote is in the last line
            return cells == width
        *inner, last = lines
        if any(len(line) == width for line in inner):
            return cells == width or not is_clean
        is_start = len(last) == width or (last[-1]["close"] == "" and is_clean_start(last))
        return cells == width and not inner and is_start


@lru_cache
def cell_pattern(delimiter):
    """Return the pattern of a cell as csv reads it, and of what ends it."""
    plain = rf"[^{re.escape(delimiter)}\r\n]*"
    quoted = rf'(?P<quoted>"[^"]*(?:""[^"]*)*)(?P<close>"?)(?P<after>{plain})'
    return re.compile(rf"(?P<cell>{quoted}|(?P<plain>{plain}))(?:{re.escape(delimiter)}|[\r\n]+|$)")


def split_cells(text, delimiter):
    """Return the cells of a record as matches of `cell_pattern`."""
    cells, pattern, end = [], cell_pattern(delimiter), 0
    while True:
        cells.append(pattern.match(text, end))
        end = cells[-1].end()
        if end == len(text) and text[cells[-1].end("cell") :] != delimiter:
            return cells


def is_clean_cell(cell):
    """Return whether a cell is quoted as a whole or not at all."""
    return (
        '"' not in cell["plain"] if cell["quoted"] is None else cell["close"] and not cell["after"]
    )


def is_clean_start(cells):
    """Return whether the cells are clean; the last one may lack its closing quote."""
    is_open = cells[-1]["quoted"] is not None and not cells[-1]["close"]
    return all(map(is_clean_cell, cells[:-1] if is_open else cells))
