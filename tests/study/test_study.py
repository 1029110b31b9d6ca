"""Studies: what is planned, that a second start does what is missing alone, and what is made."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from helpers import stored_runs
from helpers.stored_runs import write_run

from posext.analysis import curves
from posext.eval.bayes_floor import FLOOR
from posext.runs.run import Run, claim
from posext.study import command as study_command
from posext.study import outputs, plan, progress, run, spec
from posext.utils.errors import PosextError

RESULTS = Path(__file__).resolve().parents[2] / "results"
STUDY = """
title: A small one
seeds: [0, 1]
common: {common}
measure: tracking.wandb=disabled
parts:
  trained:
    train:
      - +pe=rope,none
  continued:
    seeds: [1]
    train:
      - init=rope-*-seed{{seed}}-* +pe=alibi steps=2 train_length=32
  extended:
    evaluate:
      - run=rope-*-16-seed{{seed}}-* +pe@extend=linear,ntk
outputs:
  figure: plot --factor matched
  table: table --over-seeds
  differences: compare --base rope --over-seeds --context 16 32
"""


def write_study(folder: Path, text: str, name: str = "mine") -> list[Path]:
    """Write a study file and return the folders in which it is found."""
    (folder / "studies").mkdir(parents=True, exist_ok=True)
    (folder / "studies" / f"{name}.yaml").write_text(text)
    return [folder]


@pytest.fixture
def mine(tmp_path, small):
    """The folder of a study of five runs of a second each."""
    common = " ".join([*small, "context_lengths=[8,16,32,64]"])
    return write_study(tmp_path / "configs", STUDY.format(common=common))


@pytest.fixture
def executed(monkeypatch, mine):
    """Pretend to run the commands of the study `mine`; returns what was run.

    A run that would be trained gets its config and a curve, and a measurement gets its curve.
    """
    done: list[list[str]] = []

    def execute(typed: list[str]) -> int:
        done.append(typed)
        planned = plan.plan_of(spec.load("mine", mine), [0, 1])
        jobs = [job for step in planned.steps for job in step.jobs]
        folders = {tuple(sorted(job.arguments)): job.folder for job in jobs}
        overrides = [each for each in typed[2:] if not each.startswith(("-", "hydra"))]
        for arguments in plan.split(overrides):
            folder = folders[tuple(sorted(arguments))]
            config = planned.runs[folder]
            extend = plan.given(arguments).get("pe@extend", "")
            if typed[1] == "posext.train":
                claim(Run(folder, config), asdict(config))
                (folder / "model.safetensors").touch()
                (folder / "run.json").write_text('{"parameters": 1, "data": ""}')
            for factor in ("auto", "4") if extend else ("",):
                write_run(folder, config.pe["name"], config.seed, extend, factor=factor)
        return 0

    monkeypatch.setitem(stored_runs.RISES, "none", [0.7, 0.2, 0.5, 0.9])
    for name in ("linear", "ntk"):
        monkeypatch.setitem(stored_runs.RISES, name, [0.5, 0.0, 0.3, 0.6])
    monkeypatch.setattr(run, "execute_process", execute)
    return done


def planned_names(name: str) -> set[str]:
    return {folder.name for folder in outputs.measured_folders(plan.plan_of(spec.load(name)))}


@pytest.mark.parametrize("name", ["quickstart", "floor", "protocols"])
def test_plan_names_the_runs_of_the_committed_results(name):
    committed = {file.stem for file in (RESULTS / name / "configs").glob("*.yaml")}
    assert planned_names(name) == committed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["extension", "zoo"])
def test_plan_names_the_many_runs_of_the_committed_results(name):
    """The zoo of the file is larger than that which was committed."""
    committed = {file.stem for file in (RESULTS / name / "configs").glob("*.yaml")}
    assert planned_names(name) >= committed


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "warmup",
        "learning_rates",
        "learning_rates_tiny",
        "learning_rates_seeds_of_rope",
        "optimizers",
        "extension_rates",
    ],
)
def test_plan_trains_every_setting_of_the_committed_rates(name):
    planned = plan.plan_of(spec.load(name))
    settings = {
        (c.model.name, c.title(), c.optimizer.kind, f"{c.learning_rate:g}", c.steps, c.seed)
        for c in planned.runs.values()
    }
    rates = pd.read_csv(RESULTS.parent / planned.study.out / "rates.csv")
    rates["learning_rate"] = rates.learning_rate.map("{:g}".format)
    columns = ["model", "scheme", "optimizer", "learning_rate", "steps", "seed"]
    assert set(rates[columns].itertuples(index=False, name=None)) <= settings


def test_plan_takes_seeds_parents_and_runs(mine):
    planned = plan.plan_of(spec.load("mine", mine))
    names = [folder.name for folder in planned.runs]
    assert len(names) == 5
    child = next(name for name in names if name.startswith("alibi"))
    assert child.startswith("alibi-nano-32-seed1-")
    assert "from-rope-nano-16-seed1" in child
    measured = planned.steps[-1].jobs
    assert [job.arguments[1] for job in measured] == ["+pe@extend=linear"] * 2 + [
        "+pe@extend=ntk"
    ] * 2
    assert {job.folder.parent for job in measured} == {Path("results/runs/mine")}
    others = plan.plan_of(spec.load("mine", mine), seeds=[7])
    assert all("seed7" in folder.name for folder in others.runs)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("+pe=rope,none", "+pe=rope name=one"), "two runs of the study have the folder"),
        (("run=rope-*", "run=fox-*"), "names none of the runs that the study trains before"),
        (("run=rope-*-16-seed{{seed}}-*", ""), "must name its runs once"),
        (("steps=2", "steps=-2"), "steps must be"),
        (("  trained:", "  outputs:"), "a key of its own"),
        (("title: A small one", ""), "lacks title"),
        (("seeds: [0, 1]", "seeds: []"), "has no seeds"),
        (("      - +pe=rope,none", "      []"), "trains and measures nothing"),
    ],
)
def test_plan_refuses_what_cannot_be_run(tmp_path, small, change, said):
    common = " ".join(small)
    folders = write_study(tmp_path / "configs", STUDY.replace(*change).format(common=common))
    with pytest.raises(PosextError, match=said):
        plan.plan_of(spec.load("mine", folders))


def test_study_started_again_does_what_is_missing_and_makes_its_folder(
    mine, executed, monkeypatch, capsys
):
    study_command.do("mine", [], [], [], mine, dry_run=True)
    assert "0 of 5" in capsys.readouterr().out
    assert not Path("results").exists()
    execute = run.execute_process

    def killed_in_the_second(typed):
        if len(executed) == 1:
            raise KeyboardInterrupt
        return execute(typed)

    with monkeypatch.context() as patched:
        patched.setattr(run, "execute_process", killed_in_the_second)
        with pytest.raises(KeyboardInterrupt):
            study_command.do("mine", [], [], [], mine, dry_run=False)
    assert [typed[1] for typed in executed] == ["posext.train"]
    executed.clear()
    study_command.do("mine", [], [], [], mine, dry_run=False)
    assert [typed[1] for typed in executed] == ["posext.train", "posext.evaluate"]
    out = Path("results/mine")
    made = {path.name for path in out.iterdir()}
    assert made >= {
        *("curves.csv", "documents.parquet", "record.json", "report.html", "configs"),
        *(f"figure.{suffix}" for suffix in ("png", "svg", "pdf")),
        *("table.md", "table.tex", "differences.md", "differences.tex"),
    }
    assert r"\toprule" in (out / "table.tex").read_text()
    assert "→" not in (out / "table.tex").read_text()
    record = json.loads((out / "record.json").read_text())
    assert record[0]["runs"] == 5
    assert record[0]["versions"]["torch"]
    executed.clear()
    study_command.do("mine", [], ["trained", "continued", "extended"], [], mine, dry_run=False)
    assert not executed


def test_study_measures_the_runs_that_lack_something_alone(mine, executed):
    study = spec.load("mine", mine)
    study_command.do("mine", [], ["trained"], [0], mine, dry_run=False)
    study_command.do("mine", [], ["trained"], [1], mine, dry_run=False)
    planned = plan.plan_of(study)
    steps = progress.progress_of(planned, ["extended"])
    assert [len(each.missing) for each in steps] == [4]
    (typed,) = run.commands(study, steps, ["hydra/launcher=joblib"])
    first, second = (folder for folder in planned.runs if folder.name.startswith("rope"))
    assert typed[-3:] == [
        f"run={first},{second}",
        "hydra.sweeper.max_batch_size=2",
        "hydra/launcher=joblib",
    ]
    assert executed[0][1] == "posext.train"
    typed = ["tracking.wandb=disabled", "+pe@extend=ntk", f"run={first}"]
    run.execute_process(["-m", "posext.evaluate", *typed])
    steps = progress.progress_of(planned, ["extended"])
    commands = run.commands(study, steps, [])
    assert [
        [each for each in typed if "extend=" in each or "run=" in each] for typed in commands
    ] == [
        ["+pe@extend=linear", f"run={first},{second}"],
        ["+pe@extend=ntk", f"run={second}"],
    ]
    assert steps[0].seconds is not None


def test_curve_seconds_count_a_pass_once(tmp_path):
    """Groups of a protocol are measured in one pass, and a floor takes no time."""
    row = dict.fromkeys(curves.COLUMNS, "") | dict.fromkeys(curves.NUMBERS, 1.0)
    row |= {"run": "a", "scheme": "rope"}
    fixed = row | {"protocol": "fixed_target", "context_length": 16, "seconds": 2.0}
    groups = [
        row | {"protocol": "far_copy", "group": group, "context_length": 16, "seconds": 3.0}
        for group in ("far", "rest")
    ]
    floor = fixed | {"extend": FLOOR, "seconds": 0.0}
    (tmp_path / "run.json").touch()
    pd.DataFrame([fixed, *groups, floor]).to_csv(tmp_path / "curves.csv", index=False)
    assert progress.curve_seconds(SimpleNamespace(runs=[tmp_path])) == 5.0


def test_study_refuses_a_folder_that_holds_another_run(mine, executed):
    study_command.do("mine", [], ["trained"], [0], mine, dry_run=False)
    file = next(Path("results/runs/mine").glob("rope-*/config.yaml"))
    file.write_text(file.read_text().replace("weight_decay: 0.1", "weight_decay: 0.3"))
    with pytest.raises(PosextError, match=r"optimizer\.weight_decay was 0\.3, is 0\.1"):
        progress.progress_of(plan.plan_of(spec.load("mine", mine)))


@pytest.mark.slow
def test_study_trains_measures_and_collects(mine, monkeypatch, command):
    """The same study, with runs that are trained."""

    def execute(typed: list[str]) -> int:
        return command(typed[1].removeprefix("posext."), *typed[2:])[0]

    monkeypatch.setattr(run, "execute_process", execute)
    study_command.do("mine", [], [], [], mine, dry_run=False)
    rows = pd.read_csv("results/mine/curves.csv")
    assert rows.run.nunique() == 5
    assert {"linear", "ntk"} <= set(rows.extend.dropna())
    assert not [
        each for each in progress.progress_of(plan.plan_of(spec.load("mine", mine))) if each.missing
    ]


def test_run_goes_on_after_a_command_that_fails_and_says_so():
    tried = []
    with pytest.raises(PosextError, match="1 of 3 commands failed, the first of them python b"):
        run.run([["a"], ["b"], ["c"]], lambda typed: tried.append(typed) or int(typed == ["b"]))
    assert len(tried) == 3


def test_outputs_leave_out_runs_that_the_study_does_not_have(mine, executed):
    study_command.do("mine", [], ["trained", "outputs"], [0, 1], mine, dry_run=False)
    text = (mine[0] / "studies/mine.yaml").read_text()
    text = re.sub("  differences:.*", "", text.replace("rope,none", "rope"))
    fewer = re.sub(r"  continued:.*?(?=outputs:)", "", text, flags=re.DOTALL)
    planned = plan.plan_of(spec.load("mine", write_study(mine[0], fewer)), [0])
    outputs.make(planned)
    rows = pd.read_csv("results/mine/curves.csv")
    assert set(rows.scheme) == {"rope"}
    assert set(rows.seed) == {0, 1}  # of another machine, perhaps
    assert set(pd.read_parquet("results/mine/documents.parquet").run) == set(rows.run)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["nosuch"], "there is no study 'nosuch'; there are"),
        (["quickstart", "steps=3"], "steps=3 is no setting of a launcher"),
        (["quickstart", "--only", "nosuch"], "has no part 'nosuch'; it has trained, extensions"),
    ],
)
def test_study_command_refuses_in_one_sentence(typed, said, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["posext study", *typed])
    with pytest.raises(SystemExit) as stopped:
        study_command.main()
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_study_command_lists_the_studies_with_their_titles(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["posext study"])
    study_command.main()
    out = capsys.readouterr().out
    assert "quickstart" in out
    assert "Schemes at the default size" in out
