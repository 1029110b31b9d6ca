"""The page: its sections, and the one file that they and plotly.js become."""

import base64
import gzip
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from posext.config import HEADLINE
from posext.report import commands, cost, figures, gather, retrieval, seeds, tables, views, words
from posext.report.gather import Source
from posext.report.lines import Styles
from posext.utils.atomic import write_text
from posext.utils.errors import PosextError

HERE = Path(__file__).parent


def write(paths: Sequence[Path], out: Path) -> Path:
    """Write the page of some runs' folders, or of curves files; where it was written.

    Raises PosextError where none holds curves, and for several runs on different targets.
    """
    made = content(gather.read(paths))
    charts = [chart for section in made["sections"] for chart in section["charts"]]
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("page.html").render(
        **made,
        css=Markup((HERE / "page.css").read_text()),
        script=Markup((HERE / "page.js").read_text()),
        charts=embedded(charts),
        plotly=Markup(plotly()),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, text)
    return out


def content(sources: Sequence[Source]) -> dict[str, Any]:
    """All that the page says, as plain data."""
    if not sources:
        raise PosextError("none of these holds curves")
    sources, notes = gather.on_same_targets(sources)
    rows = pd.concat([source.rows for source in sources], ignore_index=True)
    styles = Styles(rows)
    headline = rows.loc[rows.protocol == HEADLINE]
    runs = rows.run.drop_duplicates().tolist()
    made: dict[str, Any] = {
        "title": runs[0] if len(runs) == 1 else f"{len(runs)} runs compared",
        "about": described(rows), "notes": notes, "runs": [run_of(source) for source in sources if source.run],
        "answers": [], "lede": "", "facts": [], "table": [], "lengths": [], "seeds": [],
    }  # fmt: skip
    sections = []
    if len(headline):
        styles.first(figures.visible(styles.of(headline)), rows)
        charts, paired = compared(sources, styles, headline, HEADLINE, notes)
        made["facts"], made["lede"] = words.facts(headline, sources), words.lede(headline)
        made["lengths"] = sorted(int(n) for n in headline.context_length.unique())
        made["table"] = tables.rows(headline, paired, styles)
        over = seeds.over(headline, styles)
        made["seeds"] = seeds.table(headline, over, styles)
        made["answers"] = words.answers(
            made["table"], made["lengths"], over, seeds.lowest(headline, styles)
        )
        made["answers"] += seeds.sentences(headline, styles)
        about = (
            words.MANY
            if any(trace.get("visible") for trace in charts[0]["views"][0]["traces"])
            else ""
        )
        sections.append(
            {
                "kind": "headline",
                "title": "Extrapolation",
                "about": about,
                "charts": charts,
                "table": [],
            }
        )
        sections += [costs(headline, styles)] if headline.seconds.notna().any() else []
    for name in rows.protocol.drop_duplicates():
        if name != HEADLINE:
            charts, _ = compared(sources, styles, rows, name, notes)
            title = words.TITLES.get(name, name)
            sections.append(
                {
                    "kind": "",
                    "title": title,
                    "about": words.protocol(name),
                    "charts": charts,
                    "table": [],
                }
            )
    if heat := retrieval.figures(sources):
        sections.append(
            {
                "kind": "heat",
                "title": "Retrieval",
                "about": words.RETRIEVAL,
                "charts": heat,
                "table": [],
            }
        )
    return {**made, "sections": sections}


def compared(
    sources: Sequence[Source], styles: Styles, rows: pd.DataFrame, protocol: str, notes: list[str]
) -> tuple[list[dict], list[gather.Paired]]:
    """The charts of a protocol, one for each group of its targets, and the paired differences under it."""
    of_protocol, fixed = rows.loc[rows.protocol == protocol], rows.loc[rows.protocol == HEADLINE]
    x = ""
    if protocol == "per_position":  # one pass: a bucket of positions is what a length is elsewhere
        bucket = (
            of_protocol.group.where(of_protocol.group != "", of_protocol.context_length)
            .astype(float)
            .astype(int)
        )
        of_protocol, x = (
            of_protocol.assign(context_length=bucket, group=""),
            "largest context in the bucket (tokens)",
        )
    beside = styles.of(fixed) if protocol not in (HEADLINE, "far_copy") and len(fixed) else []
    charts, everything = [], []
    for group, known in of_protocol.groupby("group", sort=False):
        paired = []
        for source in sources:
            if ((source.rows.protocol == protocol) & (source.rows.group == group)).any():
                differences, why = gather.paired(source, protocol, str(group))
                paired, notes[:] = paired + differences, [*notes, *why]
        chart_views = views.of_curves(known, paired, protocol)
        chart = figures.chart(f"{protocol}-{len(charts)}", styles.of(known), chart_views, beside, x)
        charts.append({**chart, "title": str(group)})
        everything += paired
    if len(charts) > 1:
        figures.share_scale(charts)
    return charts, everything


def costs(headline: pd.DataFrame, styles: Styles) -> dict[str, Any]:
    lines = [line for line in styles.of(headline) if not line.floor]
    table = cost.table(lines)
    return {
        "kind": "cost",
        "title": "Cost",
        "about": words.COST,
        "charts": [cost.figure(lines)],
        "table": table,
    }


def described(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """What stands under the title."""
    by_model = rows.loc[rows.parameters.notna()].groupby("model", sort=False).parameters
    models = [f"{model}, {words.span(counts, 'parameters')}" for model, counts in by_model]
    found: dict[str, Any] = {
        "study": rows.study,
        "model": models,
        "seed": rows.seed.astype(int),
        "code": rows.commit,
    }
    said = {
        name: "; ".join(str(v) for v in dict.fromkeys(values) if str(v))
        for name, values in found.items()
    }
    return [(name, text) for name, text in said.items() if text]


def run_of(source: Source) -> dict[str, Any]:
    """A run's own part of the page: its config and its commands."""
    assert source.run is not None
    return {"name": source.run.name, "config": commands.config(source.run), "train": commands.train(source.run),
            "evaluate": commands.evaluate(source.run, source.rows)}  # fmt: skip


def embedded(value: Any) -> Markup:
    """JSON that is safe inside a script element. Raises PosextError for nan, which JSON does not have."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


@cache
def plotly() -> str:
    """plotly.js, compressed: 2.0 MB in place of 4.8, which the browser unpacks."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()
