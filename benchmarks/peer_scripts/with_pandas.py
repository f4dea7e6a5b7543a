"""`with_pandas.py FILE URL`: the file as a table, by pandas."""

import sys

import pandas as pd
import sqlalchemy as sa

if __name__ == "__main__":
    file, url = sys.argv[1:]
    # As text: numbers guessed from digits lose their leading zeros.
    frame = pd.read_csv(file, dtype=str)
    with sa.create_engine(url).begin() as connection:
        frame.to_sql("with_pandas", connection, if_exists="replace", index=False)
