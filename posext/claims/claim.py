"""The file of a claim: claims/ID.yaml."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from posext.claims.expression import Comparison, parse
from posext.config import HEADLINE
from posext.utils.errors import PosextError


@dataclass
class Source:
    """Where a claim was published."""

    paper: str = MISSING  # a name and a number of arXiv, or an address
    place: str = ""  # table, figure or section


@dataclass
class ClaimSpec:
    """What stands in the file of a claim."""

    source: Source = field(default_factory=Source)
    says: str = MISSING  # the claim in words
    inequality: str = MISSING  # as it was published
    published: str = ""  # numbers that were read in the source; empty: none was
    scale: str = ""  # at which it was published: parameters, lengths, corpus
    here: str = ""  # in what the test differs, where it does
    holds_if: str = MISSING  # posext.claims.expression
    needs: str = ""  # what must be seen before the claim can be decided at this size
    study: str = ""  # a folder under results/; empty for what is computed from schemes alone
    also: list[str] = field(default_factory=list)  # further folders, each with a verdict of its own
    protocols: list[str] = field(default_factory=lambda: [HEADLINE])
    # what a name in `holds_if` stands for: columns of curves.csv with their values
    curves: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """A claim with its name, and what it says as comparisons that must all hold."""

    name: str
    spec: ClaimSpec
    comparisons: list[Comparison]
    needs: list[Comparison]

    @property
    def is_exact(self) -> bool:
        """Whether the claim is about schemes alone, and needs no study."""
        return not self.spec.study


def load(file: Path) -> Claim:
    """Load a claim.

    Raises PosextError for a file that is not one, or an expression outside the grammar.
    """
    try:
        loaded = OmegaConf.merge(OmegaConf.structured(ClaimSpec), OmegaConf.load(file))
        if missing := OmegaConf.missing_keys(cast(DictConfig, loaded)):
            raise PosextError(f"{file} lacks {', '.join(sorted(missing))}")
        spec = cast(ClaimSpec, OmegaConf.to_object(loaded))
    except (OmegaConfBaseException, YAMLError) as error:
        raise PosextError(f"{file} is no claim: {str(error).splitlines()[0]}") from error
    try:
        needs = parse(spec.needs) if spec.needs else []
        return Claim(file.stem, spec, parse(spec.holds_if), needs)
    except PosextError as error:
        raise PosextError(f"{file}: {error}") from error


def load_all(folder: Path) -> list[Claim]:
    """Load the claims of a folder, in the order of their names.

    Raises PosextError if there is none.
    """
    files = sorted(folder.glob("*.yaml"), key=lambda file: in_order(file.stem))
    if not files:
        raise PosextError(f"{folder} holds no claims: files ID.yaml")
    return [load(file) for file in files]


def in_order(name: str) -> tuple[str, int, str]:
    """A key that sorts C2 before C10, and C10 before C10b."""
    letters = name.rstrip("abcdefghijklmnopqrstuvwxyz0123456789")
    digits = name[len(letters) :].rstrip("abcdefghijklmnopqrstuvwxyz")
    return letters, int(digits or 0), name
