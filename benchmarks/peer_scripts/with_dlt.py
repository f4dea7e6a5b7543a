"""`with_dlt.py FILE URL`: the file as a table, by dlt in the way it documents as fast, Arrow batches."""

import sys
from collections.abc import Iterator
from typing import Any

import dlt
import pyarrow as pa
from dlt.destinations import postgres, sqlalchemy
from pyarrow import csv

QUOTED = csv.ParseOptions(newlines_in_values=True)


def batches(file: str) -> Iterator[Any]:
    # As text: numbers guessed from digits lose their leading zeros.
    names = csv.open_csv(file, parse_options=QUOTED).schema.names
    text = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    yield from csv.open_csv(file, parse_options=QUOTED, convert_options=text)


if __name__ == "__main__":
    file, url = sys.argv[1:]
    if url.startswith("sqlite"):
        pipeline = dlt.pipeline("licences", destination=sqlalchemy(url), dataset_name="main")
        file_format = "parquet"
    else:
        url = url.replace("+psycopg2", "")  # which it uses anyway
        pipeline = dlt.pipeline("licences", destination=postgres(url), dataset_name="public")
        file_format = "csv"
    pipeline.run(
        batches(file), table_name="with_dlt", write_disposition="replace", loader_file_format=file_format
    )
