"""Scoring of windows: whose NLL is taken, and which windows are refused."""

from types import SimpleNamespace

import pytest
import torch
from helpers.protocol_properties import RANDOM, VOCABULARY, uniform

from posext.eval.scoring import TargetWindow, score_windows, target_nll
from posext.model import loss


def test_chunked_nll_is_that_of_whole_logits(monkeypatch):
    monkeypatch.setattr(loss, "ROWS", 3)
    generator = torch.Generator().manual_seed(0)
    x_BKC = torch.randn(2, 9, 5, generator=generator)
    weight_VC = torch.randn(VOCABULARY, 5, generator=generator)
    labels_BK = torch.randint(VOCABULARY, (2, 9), generator=generator)
    logits_BKV = x_BKC @ weight_VC.T
    in_chunks = loss.chunked_nll(x_BKC, weight_VC, labels_BK)
    of_logits = target_nll(lambda tokens: logits_BKV, labels_BK, labels_BK)
    assert torch.allclose(in_chunks, of_logits, atol=1e-5)
    whole = -logits_BKV.log_softmax(-1).gather(-1, labels_BK[..., None])[..., 0]
    assert torch.allclose(in_chunks, whole, atol=1e-5)


def test_score_windows_takes_the_target_nll_of_a_model():
    model = SimpleNamespace(target_nll=lambda tokens, labels: torch.full(labels.shape, 2.0))
    (nll,) = score_windows(model, RANDOM.document, [TargetWindow(4, 50, 20, 5)], 64)  # pyright: ignore
    assert nll.tolist() == [2.0] * 5


def test_score_windows_refuses_a_window_before_its_document():
    with pytest.raises(ValueError, match="a context of 20 tokens does not fit before token 19"):
        score_windows(uniform, RANDOM.document, [TargetWindow(4, 19, 20, 5)], 64)
