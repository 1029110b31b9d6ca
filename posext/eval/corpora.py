"""The corpora that a run is measured on, each with a plan of its own: `evaluation.data`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from posext.config import HEADLINE, OWN, WITHOUT_CURVES, DataConfig, SyntheticData
from posext.data import dataset
from posext.data.shared_text import STRETCH, shared_share
from posext.eval import protocols
from posext.eval.curve import EvalPlan, plan_of
from posext.runs.run import Run
from posext.utils.atomic import write_text
from posext.utils.errors import PosextError

RECORD = "corpora.json"  # in the folder of a run: what each corpus of its curves is


def plans_of(
    run: Run,
    tokens: dataset.Data,
    progress: bool = True,
    judge: protocols.Judge | None = None,
) -> list[EvalPlan]:
    """Plan the measurement of each corpus that a run names.

    What makes no curve is measured in the run's own text alone, which has a plan without curves
    for it if it is not named itself.

    Args:
        run: The run.
        tokens: Its own corpus, whose tokenizer all corpora take.
        progress: Whether to show a bar while tokenizing.
        judge: As in `posext.eval.curve.make_plan`.

    Raises:
        PosextError: A corpus cannot be read, does not fit the tokenizer, or has no document that
            holds the longest context.
    """
    config = run.config
    plans = []
    for name, source in config.evaluation.corpora().items():
        if source is None:
            plans.append(replace(plan_of(run, tokens, judge=judge), source=config.data))
            continue
        try:
            check_letters(config.data, source)
            source = replace(source, cache=config.data.cache)
            held_out = dataset.load_held_out(source, tokens, progress)
            plan = plan_of(run, held_out, judge=judge)
            plans.append(replace(plan, corpus=name, source=source))
        except PosextError as error:
            raise PosextError(f"evaluation.data={name}: {error}") from error
    if set(config.protocols) & set(WITHOUT_CURVES) and all(plan.corpus != OWN for plan in plans):
        plan = plan_of(run, tokens, [HEADLINE])  # refuses documents that are too short
        plans.append(replace(plan, protocols={}, source=config.data))
    return plans


def law_of(run: Run, plan: EvalPlan) -> SyntheticData | None:
    """Return the law of a synthetic corpus whose symbols are the tokens of a run, else None."""
    in_symbols = plan.corpus == OWN or run.config.data.tokenizer == "letters"
    return plan.source if in_symbols and isinstance(plan.source, SyntheticData) else None


def check_letters(own: DataConfig, source: DataConfig) -> None:
    """Raise PosextError for a text that a tokenizer of letters has no tokens for."""
    if own.tokenizer != "letters":
        return
    if not isinstance(source, SyntheticData) or source.symbols > own.vocab_size:
        raise PosextError(
            f"the run's tokenizer is letters, {own.vocab_size} of them, "
            "so it reads synthetic corpora of no more symbols alone"
        )


def describe(run: Run, tokens: dataset.Data, plans: list[EvalPlan]) -> list[str]:
    """Return a sentence on each corpus but the run's own, and record what it is in the run.

    The share of its text that stands in the training text is counted once for each corpus. It is
    unknown for a checkpoint, whose training text is not at hand. Call on the main process.
    """
    file = run.folder / RECORD
    record = read_record(file)
    sentences = []
    for plan in plans:
        if plan.corpus == OWN:
            continue
        documents = replace(plan.tokens, cut=None).validation
        known = record.get(plan.corpus, {})
        if known.get("data") != plan.tokens.fingerprint:
            shared = None
            if run.config.is_trained_here:
                shared = shared_share(documents, tokens.train)
            known = {"data": plan.tokens.fingerprint, "shared_with_training": shared}
            record[plan.corpus] = known
        sentence = (
            f"{plan.corpus}: {int(documents.lengths.sum()):,} tokens "
            f"in {len(documents.lengths):,} held-out documents"
        )
        if known["shared_with_training"] is not None:
            sentence += (
                f"; of their stretches of {STRETCH} tokens "
                f"{known['shared_with_training']:.1%} stand in the training text too"
            )
        sentences.append(sentence)
    if record:
        write_text(file, json.dumps(record, indent=2) + "\n")
    return sentences


def read_record(file: Path) -> dict[str, Any]:
    """Return what is known of the corpora of a run's curves; nothing if the file is damaged."""
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return {}
