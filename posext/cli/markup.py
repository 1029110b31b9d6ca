"""The markup of printed tables: Markdown, or LaTeX with the rules of booktabs."""

import argparse

STYLES = {"markdown": "github", "latex": "latex_booktabs"}  # of tabulate
IN_LATEX = {"→": r"$\rightarrow$", "±": r"$\pm$", "×": r"$\times$"}


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add the option --format to a command that prints tables."""
    parser.add_argument(
        "--format",
        choices=tuple(STYLES),
        default="markdown",
        help="of the table: markdown (default), or latex, which needs the package booktabs",
    )


def finished(table: str, markup_format: str) -> str:
    """A table of tabulate, for LaTeX with commands in place of the signs that fonts lack."""
    if markup_format == "latex":
        for sign, command in IN_LATEX.items():
            table = table.replace(sign, command)
    return table
