"""The settings of a corpus: one dataclass for each source of documents."""

import math
import string
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Le
from omegaconf import MISSING, OmegaConf

from posext.utils.errors import PosextError
from posext.utils.ranges import (
    AtLeastTwo,
    Count,
    Natural,
    OneOf,
    Positive,
    PositiveShare,
    Share,
)

LETTERS = string.ascii_letters + string.digits  # the symbols of a synthetic corpus as text
# OWNER/NAME: never a path, nor the name of one of the loaders of `datasets`
HUB_ID = r"\w[\w.-]*/\w[\w.-]*"
HUB_SPLITS = ("train", "validation")  # those that are read
SYNTHETIC_SOURCES = ("markov", "copy")  # sources of a known law
MAX_TABLE_CELLS = 2**14  # of the transition table of one document
ALGORITHMIC = "algorithmic"  # the source of examples of algorithmic tasks
# Tokens that a model reads of an example of an algorithmic task: for each item of its length, and
# besides. posext.data.algorithmic has the formats.
EXAMPLE_TOKENS = {
    "copy": (2, 2),
    "reverse": (2, 2),
    "addition": (3, 4),
    "sorting": (2, 2),
    "parity": (1, 2),
    "dyck": (2, 0),
    "flip_flop": (2, 0),
    "mqar": (1, 17),
    "s5": (1, 1),
    "counting": (1, 2),
}
HINTED_ADDITION_TOKENS = (6, 5)


@dataclass
class DataConfig:
    """A corpus and its tokenizer, whatever the source."""

    source: str = MISSING  # of the documents; the choice of data fixes it
    # bpe (trained on the train split), bytes, a tokenizer.json or its folder, or a hub id
    tokenizer: str = "bpe"
    vocab_size: Count = 2048  # of bpe
    # of the documents, chosen by a hash of their names; all of them in evaluation.data alone
    validation_share: PositiveShare = 0.1
    # join documents, a separator between them, so that those shorter than a sequence count
    pack: bool = False
    mask_documents: bool = False  # with pack: a token attends to its own document alone
    # of the training sequences, with recall pairs: posext.data.recall.mixing
    recall_share: Share = 0.0
    recall_pairs: Count = 8  # different pairs in such a sequence, at most
    cache: str = "~/.cache/posext"  # folder of tokenized corpora

    def origin(self) -> str:
        """Return where the documents are from, for messages and names."""
        return self.source

    def check(self) -> None:
        """Raise PosextError for settings that do not go together."""
        if self.tokenizer == "letters":
            raise PosextError(
                f"data={self.source} does not go with data.tokenizer=letters: "
                f"letters is for {', '.join(SYNTHETIC_SOURCES)}"
            )
        self.check_packing()

    def check_packing(self) -> None:
        """Raise PosextError for a mask between documents that are not joined, or cut apart."""
        if self.mask_documents and not self.pack:
            raise PosextError("data.mask_documents=true goes with data.pack=true")
        if self.mask_documents and self.recall_share:
            raise PosextError(
                "data.mask_documents must be false with data.recall_share above 0: "
                "a pair and its repetition may stand in different documents"
            )


@dataclass
class PythonData(DataConfig):
    """The standard library of the Python that runs."""

    source: Annotated[str, OneOf(("python",))] = "python"  # of the documents


@dataclass
class TextData(DataConfig):
    """Local files."""

    source: Annotated[str, OneOf(("text",))] = "text"  # of the documents
    # a file or folder of .txt, .md, .jsonl (also .gz and .zst) or .parquet
    path: str | None = None
    column: str = "text"  # of .jsonl and .parquet

    def origin(self) -> str:
        return self.path or self.source

    def check(self) -> None:
        """Raise PosextError without a path, or for a tokenizer of other corpora."""
        super().check()
        if not self.path:
            raise PosextError(
                "data=text needs data.path, a file or folder of .txt, .md, .jsonl or .parquet"
            )


@dataclass
class HubData(DataConfig):
    """A data set on the hub: its splits train and validation, or train alone, split by names."""

    source: Annotated[str, OneOf(("hub",))] = "hub"  # of the documents
    path: str | None = None  # its id, OWNER/NAME
    subset: str | None = None  # its configuration
    # JSON or parquet files to read, as in arxiv/{split}/*.jsonl.zst; null: what its card names
    files: str | None = None
    column: str = "text"  # of the texts
    document_start: str | None = None  # a pattern of the rows that begin a document; null: all do

    def origin(self) -> str:
        return self.path or self.source

    def request(self) -> dict[str, Any]:
        """Return the arguments of `datasets.load_dataset`."""
        if self.files is None:
            return {"path": self.path, "name": self.subset}
        folder = f"hf://datasets/{self.path}"
        files = {split: f"{folder}/{self.files.format(split=split)}" for split in HUB_SPLITS}
        builder = "parquet" if self.files.endswith(".parquet") else "json"
        return {"path": builder, "data_files": files}

    def identity(self) -> str:
        """Return what tells its documents from those of another data set, for their hash."""
        files = () if self.files is None else (self.files,)  # not in the hash of older runs
        return " ".join((str(self.path), str(self.subset), *files))

    def check(self) -> None:
        """Raise PosextError for a pattern of files that would mix the splits."""
        super().check()
        if self.files is not None and "{split}" not in self.files:
            raise PosextError(
                f"data.files must name the split, as in arxiv/{{split}}/*.jsonl.zst, "
                f"not {self.files}"
            )


@dataclass
class SyntheticData(DataConfig):
    """Documents of a known law, one token a symbol."""

    tokenizer: Annotated[str, OneOf(("letters",))] = "letters"  # a token is a symbol
    vocab_size: Count = 5  # the symbols
    recall_share: float = 0.0  # no symbol is rare enough to be a key
    documents: Count = 1100  # number of documents
    document_tokens: Count = 4200  # in each document
    seed: Natural = 0  # of the documents, independent of the model's
    symbols: Annotated[int, Ge(2), Le(len(LETTERS))] = 5  # size of the alphabet

    def check(self) -> None:
        """Raise PosextError for settings that do not go together."""
        if self.recall_share:
            raise PosextError(
                f"data.recall_share must be 0 with data={self.source}: all its symbols are common"
            )
        if self.vocab_size != self.symbols:
            raise PosextError(
                f"data.vocab_size must be data.symbols={self.symbols}, not {self.vocab_size}"
            )


@dataclass
class MarkovData(SyntheticData):
    """Markov chains, each with a transition table of its own."""

    source: Annotated[str, OneOf(("markov",))] = "markov"  # of the documents
    order: Count = 1  # the number of symbols that determine the next one's distribution
    concentration: Positive = 0.3  # of the symmetric Dirichlet of transition rows

    def check(self) -> None:
        """Raise PosextError for settings that do not go together, or for too large a table."""
        super().check()
        if self.symbols ** (self.order + 1) > MAX_TABLE_CELLS:
            largest = int(math.log(MAX_TABLE_CELLS, self.symbols) + 1e-9) - 1
            raise PosextError(
                f"data.order must be at most {largest} with {self.symbols} symbols, "
                f"not {self.order}"
            )


@dataclass
class CopyData(SyntheticData):
    """Random blocks, each repeated to the end of its document."""

    source: Annotated[str, OneOf(("copy",))] = "copy"  # of the documents
    vocab_size: Count = 32  # the symbols
    symbols: Annotated[int, Ge(2), Le(len(LETTERS))] = 32  # size of the alphabet
    period_min: Count = 16  # the shortest repeated block, in tokens
    period_max: Count = 512  # the longest

    def check(self) -> None:
        """Raise PosextError for settings that do not go together."""
        super().check()
        if self.period_max < self.period_min:
            raise PosextError(
                f"data.period_max must be at least data.period_min={self.period_min}, "
                f"not {self.period_max}"
            )


@dataclass
class AlgorithmicData(DataConfig):
    """Examples of an algorithmic task, made while training: docs/algorithms.md."""

    source: Annotated[str, OneOf((ALGORITHMIC,))] = ALGORITHMIC  # of the examples
    tokenizer: Annotated[str, OneOf(("symbols",))] = "symbols"  # a token is a symbol
    task: Annotated[str, OneOf(tuple(EXAMPLE_TOKENS))] = "copy"  # what is to be computed
    length: AtLeastTwo = 20  # of the longest example trained on; all lengths are as frequent
    # addition: before each digit a symbol of its place (Zhou et al. 2024)
    index_hints: bool = False

    def origin(self) -> str:
        return f"{self.source} {self.task}"

    def title(self) -> str:
        """Return the task, with its format if that is not the plain one."""
        return f"{self.task}+hints" if self.index_hints else self.task

    def tokens_read(self, length: int) -> int:
        """Return the tokens that a model reads of an example of a length."""
        hinted = self.index_hints and self.task == "addition"
        each, besides = HINTED_ADDITION_TOKENS if hinted else EXAMPLE_TOKENS[self.task]
        return each * length + besides

    def check(self) -> None:
        """Raise PosextError for settings that do not go together."""
        if self.recall_share:
            raise PosextError("data.recall_share must be 0 with data=algorithmic: it has no text")
        if self.pack:
            raise PosextError("data.pack must be false with data=algorithmic: an example is whole")
        self.check_packing()
        if self.index_hints and self.task != "addition":
            raise PosextError(
                f"data.index_hints is for data.task=addition, whose paper has them, not {self.task}"
            )


def tokens_of_example(task: str, length: int, index_hints: bool) -> int:
    """Return the train_length of an algorithmic task; 2 for settings that are refused later."""
    data = AlgorithmicData(task=task, length=length, index_hints=index_hints)
    return data.tokens_read(length) if task in EXAMPLE_TOKENS else 2


OmegaConf.register_new_resolver("tokens_of_example", tokens_of_example, replace=True)
# by `data.source`
CORPORA = {
    "python": PythonData,
    "text": TextData,
    "hub": HubData,
    "markov": MarkovData,
    "copy": CopyData,
    ALGORITHMIC: AlgorithmicData,
}
