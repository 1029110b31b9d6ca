"""What `import posext` offers, and the examples of docs/api.md and of the notebook."""

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
from posext.eval.targets import Target, score

ROOT = Path(__file__).resolve().parents[2]
VOCABULARY = 11
rng = np.random.default_rng(0)
DOCUMENTS = [rng.integers(0, VOCABULARY, size=n) for n in (40, 200, 300, 150)]


def uniform(tokens):
    return torch.zeros(*tokens.shape, VOCABULARY)


def by_token(tokens):
    """A model whose logits hang on the last token and on how many there are."""
    one_hot = torch.nn.functional.one_hot(tokens, VOCABULARY).float()
    return one_hot * (1 + torch.arange(tokens.shape[1])[None, :, None] / 100)


def test_every_name_that_is_offered_is_there():
    for name in posext.__all__:
        assert getattr(posext, name) is not None
    assert set(posext.__all__) <= set(dir(posext))
    with pytest.raises(AttributeError, match="nothing"):
        posext.nothing  # noqa: B018


def test_import_alone_loads_no_torch():
    code = "import sys, posext; assert not {'torch', 'pandas', 'hydra'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_uniform_model_has_the_vocabulary_as_its_perplexity():
    curve = posext.measure(uniform, DOCUMENTS, [8, 16, 64], bytes_per_token=[2] * VOCABULARY)
    assert curve.context_length.tolist() == [8, 16, 64]
    assert curve.perplexity.to_numpy() == pytest.approx(VOCABULARY)
    assert curve.bits_per_byte.to_numpy() == pytest.approx(math.log2(VOCABULARY) / 2)
    assert curve.documents.tolist() == [3, 3, 3]
    assert curve.tokens.tolist() == [3 * 4 * 4] * 3


def test_the_loss_is_that_of_the_same_blocks_scored_one_by_one():
    curve = posext.measure(by_token, DOCUMENTS, [16, 32], targets=2, blocks=3, seed=5)
    from posext.eval.targets import fixed_targets

    chosen = fixed_targets([len(d) for d in DOCUMENTS], 32, 2, 3, 5)
    for length, nll in zip(curve.context_length, curve.nll, strict=True):
        each = [
            score(by_token, DOCUMENTS.__getitem__, [Target(*at)], length, 2, 64) for at in chosen
        ]
        assert nll == pytest.approx(np.mean(each), rel=1e-6)


def test_one_document_gives_no_interval_and_no_bytes_no_bits():
    curve = posext.measure(by_token, DOCUMENTS, [8, 250])
    assert curve.documents.tolist() == [1, 1]
    assert curve[["nll_low", "nll_high", "bits_per_byte"]].isna().all(axis=None)
    assert curve.nll.notna().all()


@pytest.mark.parametrize(
    ("lengths", "how", "said"),
    [
        ([16, 8], {}, "increasing"),
        ([], {}, "increasing"),
        ([8, 400], {}, "the longest has 300"),
        ([8, 16], {"targets": 5}, "half the shortest context length, 8, not 5"),
        ([8, 16], {"blocks": 0}, "blocks must be at least 1, not 0"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(lengths, how, said):
    with pytest.raises(posext.PosextError, match=said):
        posext.measure(uniform, DOCUMENTS, lengths, **how)


def test_the_examples_of_the_page_run_and_say_what_is_said_of_them():
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


def test_the_notebook_runs(monkeypatch):
    file = ROOT / "docs" / "notebooks" / "paired_difference.ipynb"
    monkeypatch.chdir(file.parent)
    plt.switch_backend("Agg")
    cells = [cell for cell in json.loads(file.read_text())["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in cells)
    source = "\n".join("".join(cell["source"]) for cell in cells)
    ast.parse(source)
    ran = {}
    exec(source, ran)
    plt.close("all")
    assert sorted(ran["pairs"]) == [16, 32, 64, 128, 256, 512]
    stored = ran["matched"].rows.set_index("context_length").nll
    assert ran["points"](ran["matched"]).nll.to_numpy() == pytest.approx(stored.to_numpy())
