"""Curves read back from the sums per document that a run stores."""

import pytest
from helpers.stored_runs import write_run

from posext.analysis import curves, document_sums


def test_read_stored_selects_protocol_group_and_weights(tmp_path):
    folder = write_run(tmp_path / "one", protocol="far_copy", group="far", weight=50.0)
    write_run(folder)
    (curve,) = document_sums.read_stored([folder], "far_copy", "far")
    _, weight = document_sums.align_documents([curve.sums[16]])
    assert set(weight) == {50}
    (curve,) = document_sums.read_stored([folder])  # has neither a group nor weights
    _, weight = document_sums.align_documents([curve.sums[16]])
    assert set(weight) == {100}


def test_read_stored_refuses_an_unknown_protocol_or_group(tmp_path):
    folder = write_run(tmp_path / "one", protocol="far_copy", group="far", weight=50.0)
    write_run(folder)
    with pytest.raises(ValueError, match="has no group 'near'; it has 'far'"):
        document_sums.read_stored([folder], "far_copy", "near")
    message = "has no protocol 'sliding'; it has 'far_copy', 'fixed_target'"
    with pytest.raises(ValueError, match=message):
        document_sums.read_stored([folder], "sliding")


def test_read_stored_refuses_different_digests_of_targets(tmp_path):
    one, other = write_run(tmp_path / "one"), write_run(tmp_path / "other", "alibi")
    for folder, digest in ((one, "aaaa"), (other, "bbbb")):
        file = folder / "curves.csv"
        curves.read_curves(file).assign(targets=digest).to_csv(file, index=False)
    message = "alibi of other and rope of one are measured on different targets"
    with pytest.raises(ValueError, match=message):
        document_sums.read_stored([one, other])
    assert len(document_sums.read_stored([one])) == 1
