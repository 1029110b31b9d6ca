"""The corpora that a run is measured on: `evaluation.data`."""

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from posext.config.corpora import CORPORA, AlgorithmicData, DataConfig, SyntheticData
from posext.utils.errors import PosextError
from posext.utils.ranges import check_ranges

OWN = "own"  # the held-out documents of the corpus that the run is trained on
# The run decides these for all its corpora.
OF_THE_RUN = ("tokenizer", "vocab_size", "pack", "mask_documents", "recall_share", "cache")
FORM = (
    f"evaluation.data lists {OWN}, choices of data=, and settings such as "
    "{name: books, source: text, path: books/}"
)


def corpora_of(data: Any) -> dict[str, DataConfig | None]:
    """Return the corpora that are measured, by name; None for the run's own.

    Args:
        data: The word `own`, or a list of it and of mappings, each the settings of a corpus
            with its source and a name.

    Raises:
        PosextError: Two corpora have one name, or a setting is invalid.
    """
    corpora: dict[str, DataConfig | None] = {}
    for entry in data if isinstance(data, list) else [data]:
        name = OWN if entry == OWN else name_of(entry)
        if name in corpora:
            raise PosextError(f"evaluation.data names two corpora {name!r}")
        corpora[name] = None if entry == OWN else typed_corpus(name, entry)
    if not corpora:
        raise PosextError(f"{FORM}; it is empty")
    return corpora


def name_of(entry: Any) -> str:
    """Return the name of a corpus: its own, or that of its file or folder.

    Raises PosextError for a value that is no corpus, and for a name that is no file's.
    """
    if not isinstance(entry, Mapping) or entry.get("source") not in CORPORA:
        raise PosextError(f"{FORM}; not {entry!r}")
    name = str(entry.get("name") or Path(str(entry.get("path") or entry["source"])).stem)
    if name == OWN or not re.fullmatch(r"\w[\w.-]{0,99}", name):
        raise PosextError(
            "the name of a corpus in evaluation.data must be letters, digits, and . _ - after "
            f"the first, and not {OWN}; not {name!r}"
        )
    return name


def typed_corpus(name: str, entry: Mapping[str, Any]) -> DataConfig:
    """Return the settings of a corpus, checked.

    Raises PosextError for a setting that is unknown, invalid, or the run's.
    """
    kind = CORPORA[entry["source"]]
    if issubclass(kind, AlgorithmicData):
        raise PosextError(f"evaluation.data={name}: an algorithmic task has no held-out text")
    settings = {str(key): value for key, value in entry.items() if key != "name"}
    valid = {field.name for field in fields(kind)} - set(OF_THE_RUN)
    for key in settings:
        if key not in valid:
            why = "is the run's" if key in OF_THE_RUN else "is unknown"
            raise PosextError(
                f"evaluation.data={name}: {key} {why}; valid: {', '.join(sorted(valid))}"
            )
    if issubclass(kind, SyntheticData):
        settings["vocab_size"] = settings.get("symbols", kind.symbols)
    try:
        merged = OmegaConf.merge(OmegaConf.structured(kind), settings)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise PosextError(f"evaluation.data={name}: {error.full_key}: {reason}") from error
    corpus = cast(DataConfig, OmegaConf.to_object(merged))
    try:
        check_ranges(corpus, "data.")
        corpus.check()
    except PosextError as error:
        raise PosextError(f"evaluation.data={name}: {error}") from error
    return corpus
