"""Exports that are pushed to the hub, and their model card."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from helpers.pages import rows_of
from helpers.untrained import untrained_run
from huggingface_hub import ModelCard

from posext.cli.export import main
from posext.config import ModelConfig, TextData, TrackingConfig, TrainConfig
from posext.hf import push
from posext.pe import settings_of
from posext.report.model_card import model_card
from posext.runs.run import Run

SHAPE = ModelConfig("test", n_layers=1, n_heads=2, d_model=16, d_ff=24, learning_rate=1e-3)


@pytest.fixture
def trained(corpus, tmp_path_factory):
    """Make a run of a scheme with random weights."""

    def make(scheme: str) -> Run:
        cache = tmp_path_factory.getbasetemp() / "tokens"
        config = TrainConfig(
            pe=settings_of("pe", scheme),
            model=SHAPE,
            learning_rate=1e-3,
            train_length=16,
            data=TextData(
                path=str(corpus), tokenizer="bytes", cache=str(cache), validation_share=0.3
            ),
            name=scheme,
            tracking=TrackingConfig("disabled"),
            precision="fp32",
        )
        return untrained_run(config, SHAPE, std=0.15)

    return make


class Hub:
    """Stands for the hub, and notes what is asked of it."""

    def __init__(self, error: Exception | None = None):
        self.error = error
        self.asked: list[tuple] = []

    def __call__(self) -> "Hub":
        return self

    def create_repo(self, name: str, **settings) -> None:
        if self.error:
            raise self.error
        self.asked.append((name, settings))

    def upload_folder(self, repo_id: str, folder_path: Path, commit_message: str) -> None:
        self.asked.append((repo_id, sorted(path.name for path in folder_path.iterdir())))


@pytest.fixture
def export_command(monkeypatch, capsys):
    """Run `posext export` on a hub; return what it prints, and its message for exit code 1."""

    def export_to(hub: Hub, *arguments: str) -> tuple[str, str]:
        monkeypatch.setattr(push, "HfApi", hub)
        monkeypatch.setattr("sys.argv", ["posext", *arguments])
        capsys.readouterr()
        with suppress(SystemExit):
            main()
        return tuple(capsys.readouterr())

    return export_to


def test_export_pushes_the_model_with_its_card(trained, export_command):
    run = trained("yarn")
    hub = Hub()
    out, _ = export_command(hub, str(run.folder), "out", "--length", "64", "--push", "me/model")
    assert hub.asked[0] == ("me/model", {"private": True, "exist_ok": True})
    assert hub.asked[1][0] == "me/model"
    assert {"README.md", "model.safetensors", "tokenizer.json"} <= set(hub.asked[1][1])
    assert out.endswith("https://huggingface.co/me/model\n")
    card = ModelCard.load("out/README.md")
    assert card.data.library_name == "transformers"
    assert "yarn" in card.data.tags
    parameters = run.network(run.config, 256).n_parameters()
    assert f"{parameters:,} parameters with the positional encoding yarn" in card.text
    assert "contexts of up to 64 tokens" in card.text
    assert 'from_pretrained("me/model")' in card.text
    assert "train_length: 16" in card.text
    assert "Perplexity" not in card.text, "it was not measured"


def test_export_dry_run_uploads_nothing(trained, export_command):
    hub = Hub()
    arguments = (str(trained("rope").folder), "out", "--push", "me/model", "--dry-run")
    out, _ = export_command(hub, *arguments)
    assert hub.asked == []
    assert "would go to me/model: README.md" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--push", "model"], "--push takes OWNER/NAME, the name of a model on the hub: model"),
        (["--dry-run"], "--dry-run goes with --push OWNER/NAME"),
    ],
)
def test_export_refuses_a_name_before_it_writes(trained, export_command, arguments, message):
    _, err = export_command(Hub(), str(trained("rope").folder), "out", *arguments)
    assert err == f"posext: {message}\n"
    assert not Path("out").exists()


def test_export_says_why_the_hub_refused(trained, export_command):
    arguments = (str(trained("rope").folder), "out", "--push", "me/model")
    _, err = export_command(Hub(OSError("no network")), *arguments)
    assert err.endswith("posext: out is written, but was not uploaded to me/model: no network\n")


def test_model_card_has_the_curve_of_a_measured_run(trained):
    run = trained("rope")
    rows_of("rope", [2.0, 1.5, 1.6, 1.9], run=run.name).to_csv(
        run.folder / "curves.csv", index=False
    )
    card = model_card(run, "me/model", 16)
    assert "288 target tokens of 9 held-out documents" in card
    assert f"| {np.exp(1.5):.2f}" in card
