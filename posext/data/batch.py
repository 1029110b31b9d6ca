"""What a run trains on, be it texts or examples of a task, and the batch of a step.

Shape suffixes: B sequences, T tokens.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from posext.config import AlgorithmicData, DataConfig
from posext.data import dataset
from posext.data.algorithmic.corpus import TaskCorpus
from posext.data.packing import use_in_words
from posext.data.recall import mixing

VALIDATION_TOKENS = 16384  # in each validation
Corpus = dataset.Data | TaskCorpus


class Batch(NamedTuple):
    """Tokens read and the label of each, int64 (B, T), and the origin of each sequence.

    A label of posext.data.algorithmic.task.IGNORED is not trained. `documents_BT` numbers the
    documents of a sequence if tokens attend to their own alone: `data.mask_documents`.
    """

    tokens_BT: Tensor
    labels_BT: Tensor
    origins: Sequence[str]
    documents_BT: Tensor | None = None


def load(config: DataConfig, progress: bool = True) -> Corpus:
    """Load what a config names, as `posext.data.dataset.load_data` does texts."""
    if isinstance(config, AlgorithmicData):
        return TaskCorpus(config)
    return dataset.load_data(config, progress)


def training_batch(
    tokens: Corpus, config: DataConfig, seed: int, step: int, length: int, count: int
) -> Batch:
    """Return the batch of a step, a pure function of the arguments: those of `mixing.batch`."""
    if isinstance(tokens, TaskCorpus):
        return Batch(*tokens.training_batch(seed, step, count))
    windows_BT, origins = mixing.batch(tokens, config, seed, step, length, count)
    return next_tokens(windows_BT, origins, separator(tokens, config))


def validation_batch(tokens: Corpus, config: DataConfig, length: int, at_least: int = 1) -> Batch:
    """Return held-out sequences of a length, the same ones at every call, `at_least` so many."""
    count = max(at_least, VALIDATION_TOKENS // length)
    if isinstance(tokens, TaskCorpus):
        return Batch(*tokens.validation_batch(count))
    drawn = tokens.windows(validation=True, pack=config.pack)
    return next_tokens(*drawn.batch(0, 0, length, count), separator(tokens, config))


def in_words(tokens: Corpus, config: DataConfig, length: int) -> list[str]:
    """Return sentences on what is trained at a length, and on what is held out."""
    sentences = [f"held-out text: {tokens.overlap_in_words()}"]
    if isinstance(tokens, dataset.Data):
        sentences.insert(0, f"training text: {use_in_words(tokens.train, length, config.pack)}")
    return sentences


def separator(tokens: dataset.Data, config: DataConfig) -> int | None:
    """Return the token behind each document, if tokens attend to their own document alone."""
    return tokens.joined[False].separator if config.mask_documents else None


def next_tokens(windows_BT: Tensor, origins: Sequence[str], separator: int | None = None) -> Batch:
    """Return windows in which the label of a token is the next one.

    With a separator, the documents between them are numbered; each has the one behind it.
    """
    batch = Batch(windows_BT[:, :-1], windows_BT[:, 1:], origins)
    if separator is None:
        return batch
    is_end_BT = (batch.tokens_BT == separator).long()
    return batch._replace(documents_BT=is_end_BT.cumsum(1) - is_end_BT)
