"""Stray quotes in a CSV: no other row is lost, and what has none is read as csv reads it."""

import csv
import io

from postergenres.download.metadata import Movies
from postergenres.download.stray_quotes import Records

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

END = {",": "\n", ";": "\r\n", "\t": "\n"}  # the line ends that the tests use


def read(text, delimiter=","):
    """Return the records of a CSV, and how many were repaired."""
    repairs = []
    lines = iter(io.StringIO(text, newline=""))
    records = list(Records(lines, delimiter, lambda: repairs.append(1)))
    return records, len(repairs)


def write(rows, delimiter=","):
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, lineterminator=END[delimiter]).writerows(rows)
    return file.getvalue()


def make_table(rows=60):
    """Return a table with quoted cells, cells of several lines and empty cells."""
    table = [["Id", "Genre", "Title", "Note"]]
    for i in range(rows):
        title = {0: f"A, {i}; {i}", 1: f"Led by W,\nAndy's toys;\n\nlive {i}", 2: 'say "hi"'}
        table.append([f"m{i}", "Drama", title.get(i % 17, f"Movie {i}"), "" if i % 2 else "x"])
    return table


def insert_quote(table, row, column, delimiter):
    """Return the CSV of a table with a quote before a cell."""
    file = io.StringIO(newline="")
    for number, cells in enumerate(table):
        line = [write([[cell, ""]], delimiter)[: -1 - len(END[delimiter])] for cell in cells]
        if number == row:
            line[column] = '"' + line[column]
        file.write(delimiter.join(line) + END[delimiter])
    return file.getvalue()


@pytest.mark.parametrize("delimiter", END)
def test_a_stray_quote_before_any_cell_costs_no_row(delimiter):
    table = make_table()
    for row in range(len(table)):
        for column in range(4):
            text = insert_quote(table, row, column, delimiter)
            assert read(text, delimiter) == (table, 1), (row, column)


@pytest.mark.parametrize("rows", [1, 2, 3, 30])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_stray_quote_that_no_other_quote_follows_costs_nothing(rows, end):
    lines = ["Id,Genre,Title"] + [f"m{i},Drama,Movie" for i in range(rows)]
    table = [line.split(",") for line in lines]
    for row in range(rows + 1):
        for column in range(3):
            cells = list(table[row])
            cells[column] = '"' + cells[column]
            quoted = [*lines[:row], ",".join(cells), *lines[row + 1 :]]
            assert read((end or "\n").join(quoted) + end) == (table, 1)


def test_many_stray_quotes_are_repaired_one_by_one():
    table = [["Id", "Genre", "Title"]] + [[f"m{i}", "Drama", "Movie"] for i in range(5000)]
    text = "".join(f'{a},"{b},{c}\n' if a != "Id" else f"{a},{b},{c}\n" for a, b, c in table)
    assert read(text) == (table, 5000)


TEXT = st.text(alphabet='ab ,;"\né', max_size=12)
INNER = TEXT.map(lambda text: text.strip(',;"\n ') or "x")  # what people have in cells


@settings(deadline=None, max_examples=300)
@given(st.integers(2, 5).flatmap(lambda n: st.lists(st.lists(TEXT, min_size=n, max_size=n))))
def test_a_table_without_stray_quotes_is_read_as_csv_reads_it(table):
    table = [cells for cells in table if any(cells)]
    text = write(table)
    assert read(text) == (list(csv.reader(io.StringIO(text, newline=""))), 0)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_stray_quote_never_costs_an_other_row(data):
    """The table has 60 rows of which some have quoted cells, perhaps of several lines."""
    delimiter = data.draw(st.sampled_from(sorted(END)))
    width = data.draw(st.integers(3, 6))
    table = [[f"c{i}" for i in range(width)]]
    table += [[f"m{i}", *["plain"] * (width - 1)] for i in range(60)]
    for _ in range(data.draw(st.integers(0, 8))):
        row, column = data.draw(st.integers(1, 60)), data.draw(st.integers(1, width - 1))
        table[row][column] = data.draw(INNER)
    row, column = data.draw(st.integers(0, 60)), data.draw(st.integers(0, width - 1))
    records, _ = read(insert_quote(table, row, column, delimiter), delimiter)
    others = table[:row] + table[row + 1 :]
    assert [cells for cells in others if cells not in records] == []


@pytest.mark.parametrize(
    "text",
    [
        'Id,Genre\nm1,"Drama,\nWar, Action"\nm2,"Drama\nWar, Action"\n',
        'Id,Genre,Title\nm1,Drama,"One\ntwo, three, four\nfive"\nm2\n',
        'Id,Genre,Title\nm1,Drama,5" disk\nm2,"Drama\nWar",7" disk\n',
        'Id,Genre,Title\nm1,"a\nb" c,x\nm2,Drama,x\n',
        'Id,"Genre\n(main)",Title\nm1,Drama,x\n',
    ],
)
def test_cells_of_several_lines_are_left_as_they_are(text):
    assert read(text) == (list(csv.reader(io.StringIO(text, newline=""))), 0)


def test_the_summary_counts_repaired_rows(tmp_path):
    path = tmp_path / "movies.csv"
    path.write_text(insert_quote(make_table(), 9, 1, ","), encoding="utf-8")
    movies = Movies(path)
    for _ in range(2):
        assert [movie["id"] for movie in movies] == [f"m{i}" for i in range(60)]
        assert movies.summary() == (
            f"{path}: 60 rows, 60 movies; dropped: none; repaired: 1 with a stray quote"
        )
