import random
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

import posext.pe
from posext.pe import allow

WORDS = (
    "the of a to in is that it for on with as was at by from or an be this which had not are but "
    "have one"
).split()


def pytest_addoption(parser):
    parser.addoption(
        "--pe",
        type=Path,
        help="the yaml of a scheme of your own: run its contract, and nothing else",
    )


def pytest_configure(config):
    torch.set_num_threads(1)  # networks here are tiny: threads would only wait for each other
    if file := config.getoption("--pe"):
        allow(
            [str(OmegaConf.load(file)._target_).partition(".")[0]], [file.resolve().parent.parent]
        )


def pytest_collection_modifyitems(config, items):
    if file := config.getoption("--pe"):
        selected = [
            item
            for item in items
            if hasattr(item, "callspec") and item.callspec.params.get("name") == file.stem
        ]
        config.hook.pytest_deselected(items=[item for item in items if item not in selected])
        items[:] = selected


@pytest.fixture(autouse=True)
def _away_from_everything(tmp_path, monkeypatch):
    """Run every test in its own folder, without the user's settings of wandb and Hydra."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.setattr(posext.pe, "FOLDERS", list(posext.pe.FOLDERS))
    monkeypatch.setattr(posext.pe, "OWN_MODULES", set(posext.pe.OWN_MODULES))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A folder of 40 texts of 400 to 3,000 bytes, the same in every session."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = random.Random(0)
    for index in range(40):
        words = rng.choices(WORDS, k=rng.randint(120, 800))
        (folder / f"{index:02}.txt").write_text(" ".join(words)[: rng.randint(400, 3000)])
    return folder


@pytest.fixture(scope="session")
def small(corpus, tmp_path_factory):
    """Settings for a run of about a second: a tiny network on `corpus`."""
    cache = tmp_path_factory.mktemp("cache")
    return [
        "model=nano",
        "model.n_layers=2",
        "model.d_model=32",
        "model.d_ff=64",
        "data=text",
        f"data.path={corpus}",
        f"data.cache={cache}",
        "data.tokenizer=bytes",
        "data.validation_share=0.3",
        "train_length=16",
        "tokens_per_step=256",
        "steps=6",
        "compile=false",
        "precision=fp32",
        "tracking.wandb=disabled",
        "evaluation.bootstrap=50",
        "evaluation.documents=8",
    ]


@pytest.fixture
def small_markov(small, tmp_path):
    """The settings of `small` on Markov chains, whose Bayes floor is known."""
    return [
        *(setting for setting in small if not setting.startswith(("data=", "data."))),
        "data=markov",
        "data.documents=60",
        "data.document_tokens=300",
        "data.validation_share=0.3",
        f"data.cache={tmp_path}/cache",
    ]


@pytest.fixture
def small_task(small):
    """The settings of `small` on an algorithmic task, with few examples."""
    return [
        *(s for s in small if not s.startswith(("data", "train_length", "evaluation"))),
        "data=algorithmic",
        "data.length=6",
        "evaluation.examples=8",
    ]


@pytest.fixture
def command(monkeypatch, capsys):
    """Run an entry point in this process; return its exit code, stdout and stderr."""
    from posext import evaluate, train

    def run(entry: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", [f"posext-{entry}", *arguments])
        code = 0
        try:
            {"train": train.main, "evaluate": evaluate.main}[entry]()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
