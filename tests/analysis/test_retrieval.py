"""Retrieval files: new rows replace old ones of the same extension."""

import pandas as pd

from posext.analysis import retrieval


def test_upsert_retrieval_replaces_rows_of_one_extension():
    cell = dict.fromkeys(retrieval.RETRIEVAL_COLUMNS, 1)
    cell |= {"condition": "needle", "task": "retrieval"}
    before = pd.DataFrame([cell | {"extend": e, "factor": f} for e, f in (("", ""), ("yarn", "4"))])
    rows = pd.DataFrame([cell | {"extend": "yarn", "factor": "4", "correct": 9}])
    assert retrieval.upsert_retrieval(before, rows).correct.tolist() == [1, 9]
