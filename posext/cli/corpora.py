"""`posext corpora`: list the tokenized corpora of a cache, and check them whole."""

from pathlib import Path

import pyarrow.parquet as pq
from tabulate import tabulate

from posext.cli import app
from posext.config import DataConfig
from posext.data.integrity import DIGESTS, matches_hashes
from posext.utils.errors import PosextError

DESCRIPTION = """
List the tokenized corpora in the cache, with their documents and size. A start of training compares
sizes and times of writing alone; --check hashes every byte, and so finds what a disk has changed.
"""
EXAMPLES = """
posext corpora
posext corpora --check
"""


@app.script
def main() -> None:
    parser = app.subcommand_parser("corpora", DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="FOLDER",
        default=Path(DataConfig.cache),
        help=f"the folder of tokenized corpora, data.cache (default: {DataConfig.cache})",
    )
    parser.add_argument("--check", action="store_true", help="compare all bytes with their hashes")
    options = parser.parse_args()
    cache = options.cache.expanduser()
    folders = sorted(file.parent for file in cache.glob(f"*/{DIGESTS}"))
    if not folders:
        raise PosextError(f"{cache} holds no tokenized corpus")
    damaged = [folder for folder in folders if options.check and not matches_hashes(folder)]
    rows = [corpus_row(folder, folder in damaged) for folder in folders]
    print(tabulate(rows, headers=["corpus", "documents", "MB", ""], tablefmt="github"))
    if damaged:
        names = ", ".join(map(str, damaged))
        raise PosextError(f"damaged: {names}; delete a folder, and its corpus is made again")


def corpus_row(folder: Path, damaged: bool) -> list[str]:
    """The row of one corpus, without what a damaged one cannot tell."""
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file()) / 1e6
    if damaged:
        return [folder.name, "", f"{size:,.1f}", "damaged"]
    documents = pq.read_metadata(folder / "documents.parquet").num_rows
    return [folder.name, f"{documents:,}", f"{size:,.1f}", ""]
