"""Runs that start from the weights of another: `init=FOLDER`."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from helpers.starts import start
from safetensors.torch import load_file

from posext import train
from posext.analysis.curves import read_curves
from posext.runs import parent
from posext.runs.learner import untrained
from posext.runs.run import OPTIMIZER, load_run
from posext.training import checkpoint

RUNS = Path("results/runs")
# What a continuation does not take from its parent, as its weights do not hang on it.
OWN = ["compile=false", "precision=fp32", "tracking.wandb=disabled"]


@pytest.fixture
def trained(command, small):
    """Train a run named by its first argument; return its folder."""

    def run(name: str, *typed: str) -> Path:
        code, _, err = command("train", *small, *typed, f"name={name}")
        assert code == 0, err
        return RUNS / name

    return run


@pytest.fixture
def continued(command):
    """Continue a run; return the folder of the child, and what was printed as warnings."""

    def run(name: str, *typed: str) -> tuple[Path, str]:
        code, _, err = command("train", *typed, *OWN, f"name={name}")
        assert code == 0, err
        return RUNS / name, err

    return run


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def equal(one: Path, other: Path) -> bool:
    before, after = weights(one), weights(other)
    return before.keys() == after.keys() and all(before[key].equal(after[key]) for key in before)


@pytest.mark.parametrize(
    "settings",
    [
        ["+pe=rope", "optimizer=adamw"],
        ["+pe=cable", "optimizer=muon"],
        ["+pe=yarn", "length=progressive", "optimizer.schedule=wsd"],
        ["+pe=drope", "pe.share=0.3", "+position_ids=pose"],
        ["+pe=rope", "length=window"],
    ],
    ids=" ".join,
)
def test_init_optimizer_equals_a_run_that_was_never_split(trained, continued, settings):
    whole = trained("whole", *settings, "steps=10", "keep_every=4", "evaluate=false")
    typed = ["init=results/runs/whole", "init.checkpoint=4", "init.optimizer=true"]
    second_half, _ = continued("half", *typed, "keep_every=4", "evaluate=false")
    assert load_run(second_half).config.steps == 6
    assert equal(whole, second_half)
    one, other = (load_file(folder / OPTIMIZER) for folder in (whole, second_half))
    assert all(one[key].equal(other[key]) for key in one)
    assert load_run(second_half).tokens_in_all == load_run(whole).tokens_in_all


def test_init_optimizer_of_a_finished_run_equals_a_longer_run(trained, continued):
    """Under a constant learning rate, the schedule does not tell when a run ends."""
    constant = ["optimizer.final_share=1", "optimizer.warmup_share=0", "evaluate=false"]
    longer = trained("longer", "+pe=alibi", *constant, "steps=7")
    trained("shorter", "+pe=alibi", *constant, "steps=4", "keep_every=100")
    typed = ["init=results/runs/shorter", "init.optimizer=true", "steps=3", "evaluate=false"]
    assert equal(longer, continued("child", *typed)[0])


def test_init_optimizer_goes_on_with_a_continuation(trained, continued):
    """Its schedule counts from its own start, its batches from that of the first run."""
    trained("base", "+pe=rope", "evaluate=false")
    typed = ["init=results/runs/base", "+pe=alibi", "steps=8", "keep_every=3", "evaluate=false"]
    whole, _ = continued("whole", *typed)
    typed = ["init=results/runs/whole", "init.checkpoint=3", "init.optimizer=true"]
    rest, _ = continued("rest", *typed, "evaluate=false")
    assert load_run(rest).config.steps == 5
    assert load_run(rest).data_step(3) == 6 + 3
    assert equal(whole, rest)
    assert load_run(rest).tokens_in_all == load_run(whole).tokens_in_all


def test_continuation_starts_from_the_weights_of_its_parent(trained, continued):
    """Its first batches are those that come after the parent's."""
    base = trained("base", "+pe=rope", "evaluate=false")
    child, _ = continued("child", "init=results/runs/base", "steps=1", "evaluate=false")
    model = untrained(load_run(child), 256)
    assert not model.embedding.weight.equal(weights(base)["embedding.weight"])
    parent.load_weights(model, load_run(base))
    assert all(model.state_dict()[key].equal(value) for key, value in weights(base).items())
    assert load_run(child).data_step(0) == 6
    grandchild, _ = continued("next", "init=results/runs/child", "steps=1", "evaluate=false")
    assert load_run(grandchild).data_step(0) == 7


@pytest.mark.parametrize(
    ("first", "then", "added", "dropped"),
    [
        ("fox", "+pe=fox", "", ""),
        ("rope", "+pe=fox", "blocks.0.attention.order.0", ""),
        ("fox", "+pe=alibi", "", "blocks.0.attention.order.0"),
        ("fox", "+pe=cable", "blocks.0.attention.order.0", "blocks.0.attention.order.0"),
        ("kerple_log", "+attention_scale=ssmax", "", ""),
        ("learned", "+pe=none", "", "pe.table"),
        ("rope", "+pe=none", "", ""),
    ],
)
def test_continuation_keeps_what_both_schemes_learn_and_names_the_rest(
    trained, continued, caplog, first, then, added, dropped
):
    base = trained("base", f"+pe={first}", "evaluate=false")
    caplog.clear()
    child, _ = continued("child", "init=results/runs/base", then, "steps=1", "evaluate=false")
    said = caplog.text
    assert (
        ("not in the parent, so initialized: " + added in said)
        if added
        else ("so initialized" not in said or first == "kerple_log")
    )
    assert ("so left out: " + dropped in said) if dropped else "left out" not in said
    fresh = untrained(load_run(child), 256)
    drawn = {key: value.clone() for key, value in fresh.state_dict().items()}
    parent.load_weights(fresh, load_run(base))
    for key, value in fresh.state_dict().items():
        kept = weights(base).get(key)
        is_kept = kept is not None and (".order." not in key or then == f"+pe={first}")
        assert value.equal(kept if is_kept else drawn[key])


def test_continuation_takes_settings_of_its_parent_unless_they_are_chosen(trained, continued):
    trained("base", "+pe=rope", "pe.base=500", "seed=3", "evaluate=false", "+window=sliding")
    child, _ = continued("child", "init=results/runs/base", "+pe=yarn", "steps=2", "evaluate=false")
    config = load_run(child).config
    before = load_run(RUNS / "base").config
    assert (config.seed, config.pe["base"], config.window["name"]) == (3, 500, "sliding")
    assert (config.model, config.data) == (before.model, before.data)
    assert config.learning_rate == pytest.approx(0.3 * before.learning_rate)
    rates = [each.optimizer.matrix_learning_rate for each in (config, before)]
    assert rates[0] == pytest.approx(0.3 * rates[1])

    typed = ["+pe=yarn", "pe.base=900", "seed=5", "learning_rate=1e-3", "+window=full"]
    other, _ = continued("other", "init=results/runs/base", *typed, "evaluate=false")
    config = load_run(other).config
    assert (config.seed, config.pe["base"], config.window["name"]) == (5, 900, "full")
    assert config.learning_rate == 1e-3
    assert config.steps == 1  # 0.15 of 6


def test_headscale_is_learned_from_a_run_without_positions(trained, continued):
    trained("base", "+pe=none", "evaluate=false")
    typed = ["init=results/runs/base", "+attention_scale=headscale", "train_length=32", "steps=2"]
    folder, err = continued("mine", *typed, "evaluate=false")
    assert "not in the parent, so initialized: blocks.0.attention.order.0.factor_H" in err
    factors = weights(folder)["blocks.0.attention.order.0.factor_H"]
    assert ((factors != 1.2) & ((factors - 1.2).abs() < 0.1)).all()


def test_position_ids_are_inherited_with_the_scheme_alone(trained, continued):
    trained("base", "+pe=yarn", "+position_ids=pose", "position_ids.multiple=2", "evaluate=false")
    same, _ = continued("same", "init=results/runs/base", "steps=1", "evaluate=false")
    assert load_run(same).config.position_ids["multiple"] == 2
    typed = ["init=results/runs/base", "+pe=yarn", "train_length=32", "steps=1"]
    other, _ = continued("other", *typed, "evaluate=false", "optimizer.warmup_share=0.2")
    assert load_run(other).config.position_ids is None
    optimizer = load_run(other).config.optimizer
    assert optimizer.warmup_share == 0.2
    assert optimizer.matrix_learning_rate == pytest.approx(0.3 * 0.02)


def test_settings_of_an_experiment_are_chosen(trained, continued, tmp_path):
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    experiment = "# @package _global_\ndefaults:\n  - /pe: yarn\npe: {base: 700.0}\nseed: 0\n"
    (folder / "far.yaml").write_text(experiment)
    trained("base", "+pe=rope", "seed=3", "evaluate=false")
    typed = [f"--config-dir={tmp_path / 'conf'}", "experiment=far", "init=results/runs/base"]
    child, _ = continued("child", *typed, "steps=1", "evaluate=false")
    config = load_run(child).config
    assert (config.pe["name"], config.pe["base"], config.seed) == ("yarn", 700, 0)


def test_a_chain_counts_from_the_first_length(trained, continued):
    trained("base", "+pe=rope", "context_lengths=[8,16,32,64,128]")
    typed = ["+pe=yarn", "init=results/runs/base", "train_length=32", "steps=2"]
    continued("child", *typed)
    typed = ["+pe=linear", "init=results/runs/child", "train_length=64", "steps=3"]
    grandchild, _ = continued("grandchild", *typed)
    run = load_run(grandchild)
    assert (run.original_length, run.trained_length) == (16, 64)
    assert run.scheme().scale(64) == 4
    assert run.lineage == "rope → yarn, +2 steps at 32 → linear, +3 steps at 64"
    assert set(read_curves(grandchild / "curves.csv").lineage) == {run.lineage}
    record = json.loads((grandchild / "run.json").read_text())
    assert (record["original_length"], record["trained_length"]) == (16, 64)
    assert run.tokens_in_all == (6 + 2 + 3) * 256


def test_a_childs_chart_has_its_parent_as_trained_zero_shot_and_in_its_window(
    trained, continued, command
):
    lengths = "context_lengths=[8,16,32,64]"
    base = trained("base", "+pe=rope", lengths, "evaluation.own_window=true")
    assert command("evaluate", f"run={base}", "+pe@extend=yarn")[0] == 0
    assert command("evaluate", f"run={base}", "+pe@extend=ntk")[0] == 0
    child, _ = continued("child", "init=results/runs/base", "+pe=ntk", "steps=1")
    page = (child / "report.html").read_text()
    assert "rope → ntk, +1 step at 16" in page
    assert "rope → ntk, s matched" in page
    assert "rope → own_window" in page
    assert "rope → yarn" not in page


def test_scaling_that_is_rope_in_training_is_measured_without_it(trained, command):
    yarn = trained("yarn", "+pe=yarn", "context_lengths=[8,16,32]")
    curves = read_curves(yarn / "curves.csv").set_index(["extend", "context_length"])
    plain = curves.loc["rope"].nll
    assert plain.loc[16] == curves.loc[""].nll.loc[16]
    assert plain.loc[32] != curves.loc[""].nll.loc[32]
    trained("rope", "+pe=rope", "context_lengths=[8,16,32]")
    rope = read_curves(RUNS / "rope" / "curves.csv").set_index("context_length").nll
    assert plain.loc[32] == pytest.approx(rope.loc[32], abs=1e-6)
    fixed = trained("fixed", "+pe=yarn", "pe.factor=2", "context_lengths=[8,16,32]")
    assert set(read_curves(fixed / "curves.csv").extend) == {""}


def test_kept_checkpoint_is_a_run_of_its_own(trained, command):
    whole = trained("whole", "+pe=rope", "length=progressive", "steps=10", "keep_every=4")
    kept = whole / "kept" / "whole-step-8"
    assert [path.name for path in sorted((whole / "kept").iterdir())] == [
        "whole-step-4",
        "whole-step-8",
    ]
    code, _, err = command("evaluate", f"run={whole}", "checkpoint=8", "tracking.wandb=disabled")
    assert code == 0, err
    rows = read_curves(kept / "curves.csv")
    assert set(rows.lineage) == {"rope, 8 steps"}
    assert set(rows.trained_length) == {16}
    other = trained("other", "+pe=rope", "length=progressive", "steps=10", "checkpoint_every=8")
    assert not (other / "kept").exists()


def test_kept_checkpoint_has_the_weights_of_its_step(trained, monkeypatch):
    saved = {}
    save = checkpoint.save

    def spy(folder, step, model, optimizers):
        saved[step] = {key: value.clone() for key, value in checkpoint.weights(model).items()}
        save(folder, step, model, optimizers)

    monkeypatch.setattr(train.checkpoint, "save", spy)
    typed = ["+pe=rope", "steps=6", "keep_every=2", "checkpoint_every=2", "evaluate=false"]
    whole = trained("whole", *typed)
    for step in (2, 4):
        kept = weights(whole / "kept" / f"whole-step-{step}")
        assert all(kept[key].equal(value) for key, value in saved[step].items())


def test_continuation_that_is_interrupted_ends_as_one_that_is_not(
    trained, continued, command, monkeypatch
):
    trained("base", "+pe=rope", "evaluate=false", "keep_every=3")
    for optimizer in ("init.optimizer=true", "init.optimizer=false"):
        typed = [*OWN, "init=results/runs/base", "+pe=fox", optimizer, "init.checkpoint=3"]
        typed = [each for each in typed if optimizer.endswith("false") or each != "+pe=fox"]
        typed += ["steps=8", "checkpoint_every=1", "evaluate=false"]
        straight, _ = continued(f"straight-{optimizer[15]}", *typed)
        save = checkpoint.save

        def stop_at_8(folder, step, *rest, save=save):
            save(folder, step, *rest)
            if step == 6:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(train.checkpoint, "save", stop_at_8)
            name = f"name=resumed-{optimizer[15]}"
            assert command("train", *typed, name)[0] == 130
        assert command("train", *typed, name)[0] == 0
        assert equal(straight, RUNS / name.removeprefix("name="))


@pytest.mark.slow
def test_continuation_killed_at_random_moments_ends_bit_identical(trained, continued):
    """Twenty kills, at moments spread over the whole of its start and training."""
    trained("base", "+pe=rope", "evaluate=false")
    typed = [*OWN, "init=results/runs/base", "+pe=fox", "train_length=32", "steps=40"]
    typed += ["checkpoint_every=2", "evaluate=false"]
    straight, _ = continued("straight", *typed)
    kills = 0
    while kills < 20:
        name = f"killed-{kills}"
        process = start(*typed, f"name={name}")
        process.join(0.4 + 0.06 * kills)
        kills += process.is_alive()
        process.kill()
        process.join()
        continued(name, *typed)
        assert equal(straight, RUNS / name)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            ["init=results/runs/nowhere"],
            "init=results/runs/nowhere is no folder, nor could it be an id on the hub",
        ),
        (["init=results/runs/left"], "is not trained to its end yet"),
        (["init.checkpoint=5"], "keeps no checkpoint of step 5: it keeps 4"),
        (["init.optimizer=true", "init=results/runs/bare"], "keep_every=STEPS"),
        (["model.d_model=64"], "has model.d_model=32, which its weights fix, not 64"),
        (["model=tiny"], "has model.name=nano"),
        (["original_length=8"], "has original_length=16, which its weights fix, not 8"),
        (["data.tokenizer=bpe", "data.vocab_size=300"], "has another vocabulary"),
        (["train_length=8"], "was trained to 16 tokens, and this run ends at 8"),
        (["optimizer.momentum=0.5"], "the optimizer of init=results/runs/base has no setting mom"),
        (["init.steps=5"], "init.steps is recorded from the parent, and cannot be set"),
        (["+pe=learned", "train_length=32"], "ends at 16"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_parents_are_refused_in_a_sentence_before_anything_is_written(
    trained, command, typed, message
):
    trained("base", "+pe=rope", "steps=6", "keep_every=4", "evaluate=false", "optimizer=adamw")
    trained("bare", "+pe=rope", "evaluate=false")
    shutil.copytree(RUNS / "bare", RUNS / "left")
    (RUNS / "left" / "run.json").unlink()
    parents = [] if any(each.startswith("init=") for each in typed) else ["init=results/runs/base"]
    code, _, err = command("train", *OWN, *parents, "evaluate=false", "name=child", *typed)
    assert code == 2
    assert message in err
    assert err.count("\n") <= 2
    assert not (RUNS / "child").exists()


def test_parent_that_changes_is_refused_on_resuming(trained, continued, command):
    base = trained("base", "+pe=rope", "evaluate=false")
    typed = [*OWN, "init=results/runs/base", "steps=3", "evaluate=false", "name=child"]
    assert command("train", *typed)[0] == 0
    (RUNS / "child" / "run.json").unlink()
    shutil.rmtree(base)
    trained("base", "+pe=rope", "seed=1", "evaluate=false")
    code, _, err = command("train", *typed)
    assert code == 2
    assert "holds another config" in err
