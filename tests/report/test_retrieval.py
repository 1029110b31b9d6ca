"""Heat maps of retrieval on the page."""

import pandas as pd
from helpers.pages import charts, rows_of

from posext.report import page

CELLS = [(length, depth) for length in (64, 128) for depth in (0.0, 0.5)]


def answers_of(correct: dict[str, list[int]], **columns) -> pd.DataFrame:
    """Rows of retrieval.csv: right answers of 20 in each of CELLS, by condition."""
    rows = [
        {"context_length": length, "depth": depth, "condition": condition, "correct": right}
        for condition, of_cells in correct.items()
        for (length, depth), right in zip(CELLS, of_cells, strict=True)
    ]
    table = pd.DataFrame(rows).assign(
        task="retrieval", extend="", factor="", distance=10, trials=20, nll=1.0
    )
    table["accuracy"] = table.correct / table.trials
    table = table.assign(accuracy_low=table.accuracy - 0.05, accuracy_high=table.accuracy + 0.05)
    return table.assign(**columns)


def heat_maps_of(folder) -> list[dict]:
    """The heat maps on the page of a folder."""
    text = page.write_page([folder], folder / "report.html").read_text()
    return [chart for chart in charts(text) if chart["heat"]]


def test_heat_map_has_accuracy_by_depth_and_length(tmp_path):
    rows_of("rope", [3.0, 2.5, 2.6, 2.7]).to_csv("curves.csv", index=False)
    answers = answers_of({"needle": [3, 5, 7, 9], "control": [1, 1, 1, 1]})
    answers.to_csv("retrieval.csv", index=False)
    (heat_map,) = heat_maps_of(tmp_path)
    assert heat_map["title"] == "retrieval: rope-run"
    grids = {view["name"]: view["traces"][0]["z"] for view in heat_map["views"]}
    assert grids == {
        "Needle": [[0.15, 0.35], [0.25, 0.45]],
        "Control": [[0.05, 0.05], [0.05, 0.05]],
    }


def test_heat_maps_of_a_collected_folder_are_by_run(tmp_path):
    (tmp_path / "configs").mkdir()
    schemes = ("rope", "alibi")
    losses = [3.0, 2.5, 2.6, 2.7]
    pd.concat([rows_of(scheme, losses) for scheme in schemes]).to_csv("curves.csv", index=False)
    answers = [
        answers_of({"needle": [right] * 4}, run=f"{scheme}-run", scheme=scheme, seed=0)
        for scheme, right in zip(schemes, (4, 10), strict=True)
    ]
    pd.concat(answers).assign(trained_length=128).to_csv("retrieval.csv", index=False)
    shown = {
        heat_map["title"]: heat_map["views"][0]["traces"][0]["z"]
        for heat_map in heat_maps_of(tmp_path)
    }
    assert shown == {
        "retrieval: rope-run": [[0.2, 0.2], [0.2, 0.2]],
        "retrieval: alibi-run": [[0.5, 0.5], [0.5, 0.5]],
    }
