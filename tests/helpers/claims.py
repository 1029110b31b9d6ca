"""Claims on results that a test made."""

from pathlib import Path

from posext.claims import claim, verdicts


def write_claim(folder: Path, name: str, holds_if: str, **more) -> claim.Claim:
    folder.mkdir(exist_ok=True)
    settings = {"says": "It is so.", "inequality": "a < b", "holds_if": holds_if, "study": "mine"}
    lines = [f"{key}: {value}" for key, value in {**settings, **more}.items()]
    file = folder / f"{name}.yaml"
    file.write_text("\n".join(["source: {paper: Someone 2020}", *lines]) + "\n")
    return claim.load(file)


def verdict_on(results: Path, holds_if: str, **more) -> verdicts.Verdict:
    made = write_claim(results.parent / "claims", "C1", holds_if, **more)
    (verdict,) = verdicts.verdicts(verdicts.decide([made], results))
    return verdict
