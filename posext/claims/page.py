"""The page of the ledger: each claim with its source, verdict, charts and command."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from posext.claims import chart, ledger
from posext.claims.claim import Claim
from posext.claims.stored import open_stored
from posext.claims.verdicts import FAILS, HOLDS, LEVEL, ONLY_UNDER, Result, Verdict
from posext.report.embedding import template
from posext.utils.atomic import write_text

FOLDER = Path(__file__).parent
KINDS = {HOLDS: "holds", FAILS: "fails", LEVEL: "level"}


def write(verdicts: Sequence[Verdict], results: Path, out: Path) -> Path:
    """Write the page of some verdicts.

    Args:
        verdicts: The verdicts.
        results: The parent folder of the studies.
        out: The HTML file.
    """
    by_claim: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        by_claim.setdefault(verdict.claim.name, []).append(verdict)
    text = template(FOLDER / "page.html").render(
        tally=ledger.tally(verdicts),
        claims=[content(of_claim, results) for of_claim in by_claim.values()],
    )
    write_text(out, text)
    return out


def content(verdicts: Sequence[Verdict], results: Path) -> dict[str, Any]:
    """What the page says of one claim."""
    claim = verdicts[0].claim
    spec = claim.spec
    tested = [result for verdict in verdicts for result in verdict.results]
    charts = [charts_of(claim, result, results, named=len(tested) > 1) for result in tested]
    return {
        "name": claim.name,
        "says": spec.says,
        "source": ledger.cited(verdicts[0]),
        "scale": spec.scale,
        "inequality": spec.inequality,
        "published": spec.published,
        "here": spec.here,
        "studies": [in_study(verdict) for verdict in verdicts],
        "command": command(claim),
        "charts": Markup("".join(charts)),
    }


def in_study(verdict: Verdict) -> dict[str, str]:
    """What the page says of a claim in one study."""
    kind = "holds" if verdict.text.startswith(ONLY_UNDER) else KINDS.get(verdict.text, "")
    here = ledger.here(verdict).replace("`", "")
    scale = verdict.results[0].scale
    study = f"{verdict.study} ({scale})" if scale else verdict.study
    return {"name": study, "verdict": verdict.text, "kind": kind, "here": here}


def command(claim: Claim) -> str:
    """What is typed to make a claim's verdict again."""
    studies = [each for each in (claim.spec.study, *claim.spec.also) if each]
    made = [f"posext study {study.replace('/', '_')}" for study in studies]
    return " && ".join([*made, f"posext claims {claim.name}"])


def charts_of(claim: Claim, result: Result, results: Path, named: bool) -> str:
    """The charts of a result, under the study's name if `named`; none for what is exact."""
    if not result.tested:
        return ""
    stored = open_stored(results / result.study, result.protocol)
    names = dict.fromkeys(call.arguments[0] for each in claim.comparisons for call in each.calls)
    curves = [(name, stored.points(name, claim.spec.curves.get(name, {}))) for name in names]
    heading = f"<p class=study>{result.study} {result.protocol}</p>" if named else ""
    return heading + chart.intervals(result) + chart.lines(curves)
