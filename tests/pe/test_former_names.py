"""Names in runs stored before they were changed, which are still read."""

from dataclasses import asdict

import pytest
from helpers.composed import composed

from posext.pe import Shape, build, from_config, settings_of
from posext.runs.run import Run, claim

SHAPE = Shape(head_dim=8, n_heads=2, d_model=16, original_length=32)
ROPE = settings_of("pe", "rope")


@pytest.mark.parametrize(
    ("group", "stored", "expected"),
    [
        ("window", {"_target_": "posext.window.window.SlidingWindow", "size": 5}, {"size": 5}),
        (
            "window",
            {"_target_": "posext.window.sinks.Sinks", "size": 7, "sinks": 3},
            {"recent_size": 7, "start_size": 3},
        ),
        (
            "window",
            {"_target_": "posext.window.lambda_mask.LambdaMask", "size": 7, "first": 3},
            {"n_local": 7, "n_starting": 3},
        ),
        (
            "window",
            {"_target_": "posext.window.self_extend.SelfExtend", "window": 7, "group": 3},
            {"neighbor_size": 7, "group_size": 3},
        ),
        (
            "attention_scale",
            {"_target_": "posext.attention_scale.llama4.Llama4", "strength": 0.5, "floor": 3},
            {"attn_scale": 0.5, "floor_scale": 3},
        ),
        ("normalizer", {"_target_": "posext.normalizer.Sigmoid", "bias": 0.5}, {"bias": 0.5}),
        ("normalizer", {"_target_": "posext.normalizer.Softpick"}, {"paper": "arXiv:2504.20966"}),
        ("normalizer", {"_target_": "posext.normalizer.Entmax"}, {"paper": "arXiv:1905.05702"}),
    ],
)
def test_from_config_reads_former_names(group, stored, expected):
    scheme = from_config(ROPE, SHAPE, {group: stored})
    modifier = scheme.modifiers[group]
    assert {key: getattr(modifier, key) for key in expected} == expected


def test_build_reads_a_pattern_with_the_former_sliding_window():
    shape = {"head_dim": 8, "n_heads": 2, "d_model": 16, "train_length": 32}
    pattern = [{"pe": "rope", "window": {"name": "window", "size": 5}}, {"pe": "none"}]
    local, _ = build("dual_base", **shape, layers=pattern).layers(2)
    assert local.modifiers["window"].size == 5


def test_claim_knows_a_run_that_was_stored_under_a_former_name(tmp_path):
    config = composed("+pe=rope", "+normalizer=softpick")
    run = Run(tmp_path, config)
    claim(run, asdict(config))
    file = tmp_path / "config.yaml"
    file.write_text(file.read_text().replace("normalizer.softpick.Softpick", "normalizer.Softpick"))
    claim(run, asdict(config), write=False)
