from posext.config import EvaluationConfig, MarkovData
from posext.data.dataset import load_data
from posext.eval.curve import make_plan
from posext.eval.protocols import PROTOCOLS


def test_make_plan_gives_a_protocol_the_same_windows_beside_others(tmp_path):
    config = MarkovData(documents=120, document_tokens=300, cache=str(tmp_path))
    tokens = load_data(config, progress=False)
    settings = EvaluationConfig(blocks=2, targets=8)
    lengths = [16, 64, 256]
    together = make_plan(tokens, lengths, list(PROTOCOLS), 16, settings).protocols
    assert together.keys() == PROTOCOLS.keys()
    for name in PROTOCOLS:
        alone = make_plan(tokens, lengths, [name], 16, settings).protocols
        assert alone[name].windows == together[name].windows
