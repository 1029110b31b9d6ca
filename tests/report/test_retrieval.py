"""Heat maps of retrieval on the page."""

import pandas as pd
from helpers.pages import charts, rows_of

from posext.report import page


def test_heat_map_has_accuracy_by_depth_and_length(tmp_path):
    rows_of("rope", [3.0, 2.5, 2.6, 2.7]).to_csv("curves.csv", index=False)
    correct = {"needle": [3, 5, 7, 9], "control": [1, 1, 1, 1]}
    cells = [(length, depth) for length in (64, 128) for depth in (0.0, 0.5)]
    rows = [
        {"context_length": length, "depth": depth, "condition": condition, "correct": right}
        for condition, of_cells in correct.items()
        for (length, depth), right in zip(cells, of_cells, strict=True)
    ]
    table = pd.DataFrame(rows).assign(
        task="retrieval", extend="", factor="", distance=10, trials=20, nll=1.0
    )
    table["accuracy"] = table.correct / table.trials
    table = table.assign(accuracy_low=table.accuracy - 0.05, accuracy_high=table.accuracy + 0.05)
    table.to_csv("retrieval.csv", index=False)
    text = page.write_page([tmp_path], tmp_path / "report.html").read_text()
    (heat_map,) = [chart for chart in charts(text) if chart["heat"]]
    grids = {view["name"]: view["traces"][0]["z"] for view in heat_map["views"]}
    assert grids == {
        "Needle": [[0.15, 0.35], [0.25, 0.45]],
        "Control": [[0.05, 0.05], [0.05, 0.05]],
    }
