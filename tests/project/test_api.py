"""The names of `import posext`, and the examples in docs/api.md and in the notebook."""

import ast
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

import posext
from posext.analysis.api import TokenDocuments
from posext.eval.targets import Target, fixed_targets, score

ROOT = Path(__file__).resolve().parents[2]
VOCABULARY = 11


def documents() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, VOCABULARY, size=size) for size in (40, 200, 300, 150)]


def uniform(tokens):
    return torch.zeros(*tokens.shape, VOCABULARY)


def by_token(tokens):
    """A model whose logits depend on the last token and on the number of tokens."""
    one_hot = torch.nn.functional.one_hot(tokens, VOCABULARY).float()
    return one_hot * (1 + torch.arange(tokens.shape[1])[None, :, None] / 100)


def test_posext_all_names_exist():
    for name in posext.__all__:
        assert getattr(posext, name) is not None
    assert set(posext.__all__) <= set(dir(posext))
    with pytest.raises(AttributeError, match="nothing"):
        posext.nothing  # noqa: B018


def test_import_posext_loads_no_torch():
    code = "import sys, posext; assert not {'torch', 'pandas', 'hydra'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize(("chosen", "policy"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_import_posext_lets_waiting_threads_sleep(monkeypatch, chosen, policy):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if chosen:
        monkeypatch.setenv("OMP_WAIT_POLICY", chosen)
    code = f"import os, posext; assert os.environ['OMP_WAIT_POLICY'] == {policy!r}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("chosen", [None, "/mine"])
def test_import_posext_keeps_what_is_compiled_at_home(monkeypatch, tmp_path, chosen):
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    if chosen:
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", chosen)
    folder = chosen or f"{tmp_path}/.cache/posext/inductor"
    code = f"import os, posext; assert os.environ['TORCHINDUCTOR_CACHE_DIR'] == {folder!r}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_measure_of_a_uniform_model_is_the_vocabulary():
    curve = posext.measure(uniform, documents(), [8, 16, 64], bytes_per_token=[2] * VOCABULARY)
    assert curve.context_length.tolist() == [8, 16, 64]
    assert curve.perplexity.to_numpy() == pytest.approx(VOCABULARY)
    assert curve.bits_per_byte.to_numpy() == pytest.approx(math.log2(VOCABULARY) / 2)
    assert curve.documents.tolist() == [3, 3, 3]
    assert curve.tokens.tolist() == [3 * 32] * 3


def test_measure_equals_blocks_scored_one_by_one():
    texts = documents()
    curve = posext.measure(by_token, texts, [16, 32], targets=2, blocks=3, seed=5)
    blocks = fixed_targets([len(text) for text in texts], 32, 2, 3, 5)
    for length, nll in zip(curve.context_length, curve.nll, strict=True):
        losses = [
            score(by_token, texts.__getitem__, [Target(*block)], length, 2, 64) for block in blocks
        ]
        assert nll == pytest.approx(np.mean(losses), rel=1e-6)


def test_measure_makes_the_names_of_documents_once():
    """Each document's name is looked up, so a list made at each look-up takes quadratic time."""
    held = TokenDocuments(documents())
    assert held.names == ["0", "1", "2", "3"]
    assert held.names is held.names


def test_measure_leaves_out_intervals_and_bits_it_cannot_know():
    """One document gives no interval; without bytes_per_token there are no bits per byte."""
    curve = posext.measure(by_token, documents(), [8, 250])
    assert curve.documents.tolist() == [1, 1]
    assert curve[["nll_low", "nll_high", "bits_per_byte"]].isna().all(axis=None)
    assert curve.nll.notna().all()


@pytest.mark.parametrize(
    ("lengths", "settings", "message"),
    [
        ([16, 8], {}, "increasing"),
        ([], {}, "increasing"),
        ([8, 400], {}, "the longest has 300"),
        ([8, 16], {"targets": 0}, "targets must be a whole number of at least 1, or null, not 0"),
        ([8, 16], {"blocks": 0}, "blocks must be a whole number of at least 1, not 0"),
        ([8, 16], {"most_documents": 0}, "most_documents must be a whole number of at least 1"),
        ([8, 16], {"seed": -1}, "seed must be"),
    ],
)
def test_measure_refuses_lengths_and_sizes_out_of_bounds(lengths, settings, message):
    with pytest.raises(posext.PosextError, match=message):
        posext.measure(uniform, documents(), lengths, **settings)


def test_examples_of_the_api_page_give_its_results():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    first, second = {}, {}
    exec(blocks[0], first)
    curve = first["curve"]
    assert isinstance(curve, pd.DataFrame)
    assert curve.perplexity.is_monotonic_decreasing
    assert (curve.documents == 20).all()
    exec(blocks[1], second)
    assert second["yarn"].scale(2048) == 8


def test_notebook_runs_and_agrees_with_stored_curves(monkeypatch):
    file = ROOT / "docs" / "notebooks" / "paired_difference.ipynb"
    monkeypatch.chdir(file.parent)
    plt.switch_backend("Agg")
    cells = [cell for cell in json.loads(file.read_text())["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in cells)
    source = "\n".join("".join(cell["source"]) for cell in cells)
    ast.parse(source)
    names = {}
    exec(source, names)
    plt.close("all")
    assert sorted(names["pairs"]) == [16, 32, 64, 128, 256, 512]
    stored = names["matched"].rows.set_index("context_length").nll
    points = names["points"](names["matched"])
    assert points.nll.to_numpy() == pytest.approx(stored.to_numpy())
