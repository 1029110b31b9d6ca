"""`perturbed` tells models apart by what they use; wrong variants of it do not."""

from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from helpers.perturbed import (
    KEPT,
    V,
    bag,
    copier,
    counting,
    effective,
    of_few_symbols,
    periodic,
    rise,
    rises_of,
    store,
    voter,
)
from helpers.protocol_properties import random_corpus, uniform

from posext.analysis import effective_context
from posext.eval import scoring
from posext.eval.perturbation import DROPPED, REPLACED, SHUFFLED, perturb

perturbed = import_module("posext.eval.protocols.perturbed")


def tells_what_copies(folder):
    """A copy from far back is lost as a whole as soon as its source is changed."""
    for distance, at in [(1, 1), (8, 8), (9, 16), (16, 16), (17, 32)]:
        curves_of = rises_of(folder, copier(distance), periodic(distance))
        for curve in curves_of.values():
            assert effective(curve) == at
            assert rise(curve)[curve.kept.index(at) :] == pytest.approx(0, abs=1e-6)
            assert (rise(curve)[: curve.kept.index(at)] > 1).all()
        lost = rise(curves_of[DROPPED])[: KEPT.index(at)]
        assert lost == pytest.approx(np.full(len(lost), np.log(V) - np.log1p((V - 1) / np.e**5)))


def tells_how_far_back_all_is_read(folder):
    """Each token counts up to the reach: the rise grows with every one that is lost."""
    for curve in rises_of(folder, voter(8), counting()).values():
        assert effective(curve) == 8
        assert rise(curve)[3:] == pytest.approx(0, abs=1e-6)
        assert (np.diff(rise(curve)[:4]) < -0.01).all()


def tells_what_ignores_order(folder):
    curves_of = rises_of(folder, bag, of_few_symbols())
    assert rise(curves_of[SHUFFLED]) == pytest.approx(0, abs=1e-6)
    assert effective(curves_of[SHUFFLED]) == 1
    for change in (REPLACED, DROPPED):
        assert (rise(curves_of[change])[:5] > 0.05).all()
        assert effective(curves_of[change]) > 16


def tells_what_ignores_all(folder):
    for curve in rises_of(folder, uniform, random_corpus([200] * 20)).values():
        assert rise(curve) == pytest.approx(0, abs=1e-6)
        assert effective(curve) == 1


def pairs_documents(folder):
    """Documents that differ widely, with one rise, give an interval without width."""
    names = [f"d{n}" for n in range(20)]
    own = 100.0 * np.arange(1, 21)
    frames = [
        pd.DataFrame({"document": names, "nll": own}).assign(context_length=64, group="intact"),
        pd.DataFrame({"document": names, "nll": own + 30})[::-1].assign(
            context_length=8, group="shuffled"
        ),
    ]
    store(folder, pd.concat(frames).assign(weight=10.0, tokens=10, bytes=30))
    (curve,) = effective_context.read_rises(folder)
    assert curve.table().to_numpy()[0] == pytest.approx([3, 3, 3, 8])


CHECKS = [
    tells_what_copies,
    tells_how_far_back_all_is_read,
    tells_what_ignores_order,
    tells_what_ignores_all,
    pairs_documents,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_perturbed(check, tmp_path):
    check(tmp_path)


def near_text_changed(tokens, scored, perturbation, document):
    far = len(tokens) - scored - perturbation.kept
    near = np.random.default_rng(0).permutation(tokens[far : far + perturbation.kept])
    return np.concatenate([tokens[:far], near, tokens[far + perturbation.kept :]])


def targets_changed(tokens, scored, perturbation, document):
    """Shuffle the targets too."""
    if perturbation.change != SHUFFLED:
        return perturb(tokens, scored, perturbation, document)
    return perturb(tokens, 0, perturbation._replace(kept=0), document)


def one_more_kept(tokens, scored, perturbation, document):
    return perturb(tokens, scored, perturbation._replace(kept=perturbation.kept + 1), document)


def one_fewer_kept(tokens, scored, perturbation, document):
    return perturb(tokens, scored, perturbation._replace(kept=perturbation.kept - 1), document)


def one_more_read(window, perturbation, changed=perturbed.changed):
    window = changed(window, perturbation)
    return window._replace(length=window.length + (perturbation.change == DROPPED))


def one_fewer_read(window, perturbation, changed=perturbed.changed):
    window = changed(window, perturbation)
    shorter = perturbation.change == DROPPED and perturbation.kept > 1
    return window._replace(length=window.length - shorter)


def own_text_in_its_place(windows, *arguments, stand_ins=perturbed.stand_ins):
    texts = stand_ins(windows, *arguments)
    return [
        text._replace(source=window.document, start=window.end - window.length)
        for window, text in zip(windows, texts, strict=True)
    ]


def unpaired(frames, align=effective_context.align_documents):
    nll_LD, weight_D = align(frames)
    return np.concatenate([np.roll(nll_LD[:1], 1, axis=1), nll_LD[1:]]), weight_D


@pytest.mark.parametrize(
    ("place", "name", "mutant"),
    [
        (scoring, "perturb", near_text_changed),
        (scoring, "perturb", targets_changed),
        (scoring, "perturb", one_more_kept),
        (scoring, "perturb", one_fewer_kept),
        (perturbed, "changed", one_more_read),
        (perturbed, "changed", one_fewer_read),
        (perturbed, "stand_ins", own_text_in_its_place),
        (effective_context, "align_documents", unpaired),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_perturbed_catches_mutant(place, name, mutant, monkeypatch, tmp_path):
    monkeypatch.setattr(place, name, mutant)
    assert any(fails(check, tmp_path) for check in CHECKS)


def fails(check, folder):
    try:
        check(folder)
    except AssertionError:
        return True
    return False
