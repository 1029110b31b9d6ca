"""`posext claims`: decide the claims of the ledger from what studies store, without a model."""

from pathlib import Path

from posext.claims import decision, ledger, page, verdicts
from posext.claims.claim import load_all
from posext.cli import app
from posext.utils.atomic import write_text
from posext.utils.errors import PosextError

DESCRIPTION = """
Decide claims from what the studies in a folder store, without a model: print the verdicts, and
write verdicts.csv, README.md, claims.html and decision.md, which says what to use. A claim is a
file ID.yaml with an inequality over curves.
"""
EXAMPLES = """
posext claims
posext claims C10 C11
posext claims --claims my_claims --out my_verdicts
"""
PAGE = "claims.html"
DECISION = "decision.md"


@app.script
def main() -> None:
    parser = app.subcommand_parser("claims", DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "names", nargs="*", metavar="ID", help="claims to print, and nothing is written then"
    )
    parser.add_argument(
        "--claims",
        type=Path,
        default=Path("claims"),
        metavar="FOLDER",
        help="the folder of the claims (default: claims)",
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="the folder that holds the studies (default: results)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("results/claims"),
        metavar="FOLDER",
        help="the folder to write to (default: results/claims)",
    )
    options = parser.parse_args()
    claims = load_all(options.claims)
    known = [claim.name for claim in claims]
    if unknown := [name for name in options.names if name not in known]:
        raise PosextError(f"there is no claim {unknown[0]}; there are {', '.join(known)}")
    decided = verdicts.verdicts(verdicts.decide(claims, options.results))
    if not options.names:
        ledger.write(decided, options.out)
        page.write(decided, options.results, options.out / PAGE)
        write_text(options.out / DECISION, decision.page(options.results))
    for verdict in decided:
        if not options.names or verdict.claim.name in options.names:
            study = f" in {verdict.study}" if verdict.study else ""
            print(f"{verdict.claim.name}{study}: {verdict.text}. {ledger.here(verdict)}")
    print(ledger.tally(decided))
