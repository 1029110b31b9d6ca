"""The page: its sections, and the HTML file that holds them together with plotly.js."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from omegaconf import OmegaConf

from posext.analysis import in_context, key_choice
from posext.config import HEADLINE, KEY_TOKENS, OWN, PER_POSITION, PERTURBED
from posext.report import (
    accuracy,
    attention,
    attention_metrics,
    cost,
    figures,
    gather,
    perturbed,
    retrieval,
    seeds,
    tables,
    views,
    words,
)
from posext.report.embedding import compressed_plotly, embedded_json, template
from posext.report.gather import Source
from posext.report.lines import Styles
from posext.runs.command_log import recorded_commands
from posext.utils.atomic import write_text

FOLDER = Path(__file__).parent


def write_page(paths: Sequence[Path], out: Path) -> Path:
    """Write the page of some runs.

    Args:
        paths: run folders, or curves files.
        out: the HTML file to write.

    Returns:
        `out`.

    Raises:
        PosextError: no path holds curves or accuracies, or several runs are on different targets.
    """
    accuracies = accuracy.read_accuracies(paths)
    sources = gather.read_sources(paths, required=not len(accuracies))
    content = page_content(sources) if sources else task_content(paths, accuracies)
    if len(accuracies):
        content["sections"].append(accuracy.section(accuracies))
    charts = [chart for section in content["sections"] for chart in section["charts"]]
    text = template(FOLDER / "page.html").render(
        **content,
        css=Markup((FOLDER / "page.css").read_text()),
        script=Markup((FOLDER / "page.js").read_text()),
        charts=embedded_json(charts),
        plotly=Markup(compressed_plotly()),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, text)
    return out


def page_content(sources: Sequence[Source]) -> dict[str, Any]:
    """Everything that the template shows, as plain data."""
    runs: Any = pd.concat([source.rows.run for source in sources])
    sources, notes = gather.select_same_targets(sources)
    rows = pd.concat([source.rows for source in sources], ignore_index=True)
    styles = Styles(rows)
    content = empty_content(runs, rows)
    content |= {
        "notes": notes,
        "runs": [run_content(source) for source in sources if source.run],
    }
    for number, corpus in enumerate(gather.corpora(rows)):
        of_corpus = rows.loc[rows.corpus == corpus]
        on_corpus = gather.on_corpus(sources, corpus)
        headline = of_corpus.loc[of_corpus.protocol == HEADLINE]
        if is_first := number == 0 and len(headline):
            content |= headline_content(on_corpus, styles, rows, headline, notes)
        for protocol in of_corpus.protocol.drop_duplicates().tolist():
            if protocol != HEADLINE or not is_first:
                shown = protocol_section(on_corpus, styles, of_corpus, protocol, notes)
                content["sections"].append(shown)
    if looks := attention.attention_charts(sources, rows, styles):
        terms = attention.attention_terms(sources)
        content["sections"].append(
            section("attention", "Attention", attention_metrics.ABOUT, looks, terms=terms)
        )
    if maps := retrieval.heat_maps(sources):
        content["sections"].append(section("heat", "Retrieval", words.RETRIEVAL_TEXT, maps))
    return content


def empty_content(runs: Any, rows: pd.DataFrame) -> dict[str, Any]:
    """A page without any section about some runs, with what their rows say of them."""
    names = runs.unique().tolist()
    return {
        "title": names[0] if len(names) == 1 else f"{len(names)} runs compared",
        "about": subtitle(rows),
        "notes": [],
        "runs": [],
        "answers": [],
        "lede": "",
        "facts": [],
        "table": [],
        "lengths": [],
        "seeds": [],
        "sections": [],
    }


def task_content(paths: Sequence[Path], accuracies: pd.DataFrame) -> dict[str, Any]:
    """A page about runs on algorithmic tasks, which have no curves."""
    sources = [gather.open_source(path, accuracies) for path in paths]
    runs = [run_content(source) for source in sources if source.run]
    return empty_content(accuracies.run, accuracies) | {"runs": runs}


def protocol_section(
    sources: Sequence[Source], styles: Styles, rows: pd.DataFrame, protocol: str, notes: list[str]
) -> dict[str, Any]:
    """The section of a protocol on one corpus, if it is not the headline's.

    `sources` and `rows` are those of the corpus.
    """
    title = words.on_corpus(rows, words.PROTOCOL_TITLES.get(protocol, protocol))
    about = words.protocol_text(protocol)
    if protocol == PERTURBED:
        measured = perturbed.measured_rises(sources)
        charts = perturbed.rise_charts(rows, measured, styles)
        return section(protocol, title, about, charts, perturbed.effective_table(measured, styles))
    charts, _ = protocol_charts(sources, styles, rows, protocol, notes)
    if protocol == KEY_TOKENS:
        choices = [choice.cells() for source in sources for choice in source.key_choices]
        return section(protocol, title, about, charts, choices, key_choice.HEADERS)
    if protocol == PER_POSITION:
        scores = [score.cells() for source in sources for score in source.in_context_scores]
        return section("", title, about, charts, scores, in_context.HEADERS)
    return section("", title, about, charts)


def headline_content(
    sources: Sequence[Source],
    styles: Styles,
    rows: pd.DataFrame,
    headline: pd.DataFrame,
    notes: list[str],
) -> dict[str, Any]:
    """The tables, sentences and sections about the fixed targets."""
    styles.reassign(figures.visible_lines(styles.lines(headline)), rows)
    charts, paired = protocol_charts(sources, styles, headline, HEADLINE, notes)
    lengths = sorted(int(n) for n in headline.context_length.unique())
    table = tables.perplexity_table(headline, paired, styles)
    differences = seeds.seed_differences(headline, styles)
    lowest = seeds.lowest_curves(headline, styles)
    answers = words.answer_sentences(table, lengths, differences, lowest)
    first_view = charts[0]["views"][0]
    has_hidden_lines = any(trace.get("visible") for trace in first_view["traces"])
    about = words.HIDDEN_LINES_TEXT if has_hidden_lines else ""
    title = words.on_corpus(headline, "Extrapolation")
    sections = [section("headline", title, about, charts)]
    if headline.seconds.notna().any():
        sections.append(cost_section(headline, styles))
    return {
        "facts": words.facts(headline, sources),
        "lede": words.lede(headline),
        "lengths": lengths,
        "table": table,
        "seeds": seeds.seeds_section(headline, differences, styles),
        "answers": answers + seeds.one_seed_sentences(headline, styles),
        "sections": sections,
    }


def section(
    kind: str,
    title: str,
    about: str,
    charts: list[dict],
    table: Sequence[Any] = (),
    headers: Sequence[str] = (),
    terms: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """A section of the page: charts under a title, a paragraph `about` them, and their terms.

    The rows of a table under `headers` are its cells; another has a form of its own by `kind`.
    """
    return {
        "kind": kind,
        "title": title,
        "about": about,
        "charts": charts,
        "table": table,
        "headers": headers,
        "terms": terms,
    }


def cost_section(headline: pd.DataFrame, styles: Styles) -> dict[str, Any]:
    lines = [line for line in styles.lines(headline) if not line.floor]
    charts = [cost.cost_chart(lines)]
    return section("cost", "Cost", words.COST_TEXT, charts, cost.cost_table(lines))


def protocol_charts(
    sources: Sequence[Source], styles: Styles, rows: pd.DataFrame, protocol: str, notes: list[str]
) -> tuple[list[dict], list[gather.PairedCurve]]:
    """The charts of a protocol, one for each group of its targets.

    Appends to `notes` a sentence for each curve without paired differences.

    Returns:
        The charts, and the paired differences under the protocol.
    """
    protocol_rows = rows.loc[rows.protocol == protocol]
    headline = rows.loc[rows.protocol == HEADLINE]
    x_title = ""
    if protocol == PER_POSITION:
        protocol_rows = buckets_to_lengths(protocol_rows)
        x_title = "largest context in the bucket (tokens)"
    needs_comparison = protocol not in (HEADLINE, "far_copy", KEY_TOKENS) and len(headline)
    faint_lines = styles.lines(headline) if needs_comparison else []
    charts = []
    all_differences = []
    for group, curves in protocol_rows.groupby("group", sort=False):
        differences = group_differences(sources, protocol, str(group), notes)
        chart = figures.chart(
            f"{words.on_corpus(rows, protocol)}-{len(charts)}",
            styles.lines(curves),
            views.curve_views(curves, differences, protocol),
            faint_lines,
            x_title,
        )
        charts.append({**chart, "title": str(group)})
        all_differences += differences
    if len(charts) > 1:
        figures.share_y_range(charts)
    return charts, all_differences


def buckets_to_lengths(rows: pd.DataFrame) -> pd.DataFrame:
    """Move the buckets of positions of one pass (per_position) into context_length."""
    bucket = rows.group.where(rows.group != "", rows.context_length)
    return rows.assign(context_length=bucket.astype(float).astype(int), group="")


def group_differences(
    sources: Sequence[Source], protocol: str, group: str, notes: list[str]
) -> list[gather.PairedCurve]:
    """The paired differences of all sources that have a group of a protocol's targets.

    Appends to `notes` a sentence for each curve without paired differences.
    """
    all_differences = []
    for source in sources:
        if ((source.rows.protocol == protocol) & (source.rows.group == group)).any():
            differences, sentences = gather.paired_curves(source, protocol, group)
            all_differences += differences
            notes += sentences
    return all_differences


def subtitle(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """The study, models, seeds and commits under the title; empty ones are left out."""
    by_model = rows.loc[rows.parameters.notna()].groupby("model", sort=False).parameters
    values: dict[str, Any] = {
        "study": rows.study,
        "model": [f"{model}, {words.span_text(n, 'parameters')}" for model, n in by_model],
        "seed": rows.seed.astype(int),
        "corpus": [name for name in gather.corpora(rows) if name != OWN],
        "code": rows.commit,
    }
    texts = {
        name: "; ".join(str(value) for value in dict.fromkeys(column) if str(value))
        for name, column in values.items()
    }
    return [(name, text) for name, text in texts.items() if text]


def run_content(source: Source) -> dict[str, Any]:
    """The part of the page about one run: its config and its commands."""
    assert source.run is not None
    return {
        "name": source.run.name,
        "config": OmegaConf.to_yaml(asdict(source.run.config)),
        "commands": recorded_commands(source.run.folder),
    }
