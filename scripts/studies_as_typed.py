"""Compare the jobs of scripts/NAME.sh with those of configs/studies/, run by run.

    python scripts/studies_as_typed.py zoo extension

The script runs in a new folder with a `python` that only notes what it is told. Prints the jobs
that one of both has and the other lacks. It goes when the scripts do.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from posext.cli import app
from posext.study import plan, progress, run, spec

SCRIPTS = Path(__file__).resolve().parent
SEVERAL = {  # studies of a script that is not one of its own name alone
    "learning_rates": ["learning_rates", "learning_rates_seeds_of_rope"],
    "extension": ["extension", "extension_rates"],
}
NOTING = """#!/usr/bin/env python3
import json, os, sys
with open(os.environ["NOTES"], "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
"""
ENTRIES = ("posext.train", "posext.evaluate")


def main() -> None:
    for name in sys.argv[1:]:
        folder = Path(tempfile.mkdtemp())
        os.chdir(folder)
        of_study = [command for each in SEVERAL.get(name, [name]) for command in planned(each)]
        one, other = jobs(typed(name, folder)), jobs(of_study)
        print(f"{name}: {len(one & other)} jobs of both")
        for title, jobs_left in (("script", one - other), ("study", other - one)):
            for job in sorted(jobs_left):
                print(f"  of the {title} alone: {' '.join(job)}")


def planned(name: str) -> list[list[str]]:
    """The commands of a study of which nothing is done; makes the folders of its runs."""
    made = plan.plan_of(spec.load(name))
    for run_folder in made.runs:
        run_folder.mkdir(parents=True, exist_ok=True)  # globs of the script look for them
    steps = [progress.Progress(step, step.jobs, None) for step in made.steps]
    return run.commands(made.study, steps, [])


def typed(name: str, folder: Path) -> list[list[str]]:
    """What a script gives to python, as far as it comes."""
    noting = folder / "bin" / "python"
    noting.parent.mkdir()
    noting.write_text(NOTING)
    noting.chmod(0o755)
    notes = folder / "notes.jsonl"
    path = f"{noting.parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "NOTES": str(notes)}
    script = SCRIPTS / f"{name}.sh"
    subprocess.run(["bash", str(script)], env=environment, capture_output=True, check=False)
    return [json.loads(line) for line in notes.read_text().splitlines()]


def jobs(commands: list[list[str]]) -> set[tuple[str, ...]]:
    """The entry point and sorted overrides of every job of some commands."""
    found = set()
    for _, entry, *arguments in (each for each in commands if len(each) > 2):
        if entry in ENTRIES:
            own = [each for each in arguments if each != "-m" and not each.startswith("hydra")]
            found |= {(entry, *sorted(job)) for job in plan.split(app.in_full(own))}
    return found


if __name__ == "__main__":
    main()
