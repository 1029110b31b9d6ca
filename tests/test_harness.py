"""Runs under lm-evaluation-harness, against the exported Llama and a plain loop."""

import json
import math

import pytest
import torch
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager
from transformers import PreTrainedTokenizerFast

from posext.harness import PosextLM
from posext.hf.export import export
from posext.runs.run import load_run
from posext.utils.errors import PosextError

QUESTIONS = [
    {"question": "the of a to in is", "choices": [" that it", " for on", " with"], "answer": 0},
    {"question": "with as was", "choices": [" at by", " from", " or an be"], "answer": 1},
]
TASKS = {
    "choice": """
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: answer
target_delimiter: ""
metric_list: [{metric: acc}]
""",
    "perplexity": """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{question}}"
metric_list: [{metric: word_perplexity}]
""",
    "answer": """
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: " that"
generation_kwargs: {until: ["t"], max_gen_toks: 6}
metric_list: [{metric: exact_match}]
""",
}


@pytest.fixture
def run(command, small):
    """A run, long enough trained to tell letters apart."""
    code, _, err = command(
        "train", "+pe=rope", *small, "steps=40", "train_length=32", "evaluate=false", "name=mine"
    )
    assert code == 0, err
    return load_run("results/runs/mine")


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """A task manager that knows TASKS, on local questions."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(json.dumps(each) + "\n" for each in QUESTIONS))
    for name, text in TASKS.items():
        data = f"dataset_path: json\ndataset_kwargs: {{data_files: {{test: {questions}}}}}\n"
        (tmp_path / f"{name}.yaml").write_text(f"task: {name}\n{data}test_split: test\n{text}")
    return TaskManager(include_path=str(tmp_path), include_defaults=False)


def answers(model, tasks, name: str, arguments: str = "") -> list:
    """What a model answers to the requests of a task, in their order."""
    result = simple_evaluate(
        model, model_args=arguments, tasks=[name], task_manager=tasks, bootstrap_iters=0
    )
    return [sample["resps"] for sample in result["samples"][name]]


def plain_log_likelihood(run, context: str, continuation: str) -> float:
    """In float64, one prefix after the other; a token is a byte."""
    model = run.network(run.config, 256).double().eval()
    ids = PosextLM(str(run.folder)).tok_encode(context + continuation)
    start = len(ids) - len(PosextLM(str(run.folder)).tok_encode(continuation))
    with torch.no_grad():
        return sum(
            float(model(torch.tensor([ids[:end]]))[0, -1].log_softmax(-1)[ids[end]])
            for end in range(start, len(ids))
        )


def test_log_likelihoods_equal_a_plain_loop(run, tasks):
    found = answers("posext", tasks, "choice", f"run={run.folder}")
    for question, responses in zip(QUESTIONS, found, strict=True):
        for choice, response in zip(question["choices"], responses, strict=True):
            expected = plain_log_likelihood(run, question["question"], choice)
            assert float(response[0][0]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_log_likelihoods_equal_those_of_the_exported_llama(run, tasks, tmp_path):
    export(run, tmp_path / "exported")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path / "exported")
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(10)  # the harness wants one
    tokenizer.save_pretrained(tmp_path / "exported")
    ours = answers("posext", tasks, "choice", f"run={run.folder}")
    theirs = answers(
        "hf", tasks, "choice", f"pretrained={tmp_path / 'exported'},dtype=float32,device=cpu"
    )
    for one, other in zip(ours, theirs, strict=True):
        for (mine,), (expected,) in zip(one, other, strict=True):
            assert float(mine[0]) == pytest.approx(float(expected[0]), abs=1e-4)
            assert str(mine[1]) == str(expected[1])


def test_rolling_log_likelihood_scores_every_token_once(run, tasks):
    """Windows of eight tokens: each is scored after what its window holds before it."""
    (found, _) = answers("posext", tasks, "perplexity", f"run={run.folder},max_length=8")
    text = QUESTIONS[0]["question"]
    pieces = [
        ("\n" if start == 0 else text[start - 1], text[start : start + 8])
        for start in range(0, len(text) // 8 * 8, 8)
    ]
    left = len(text) % 8
    expected = sum(plain_log_likelihood(run, *piece) for piece in pieces)
    expected += plain_log_likelihood(run, text[-9:-left], text[-left:])
    assert float(found[0][0] if isinstance(found[0], list) else found[0]) == pytest.approx(
        expected, abs=1e-3
    )


def test_generation_is_greedy_and_ends_at_a_stop(run, tasks):
    found = answers("posext", tasks, "answer", f"run={run.folder}")
    model = run.network(run.config, 256).eval()
    for question, response in zip(QUESTIONS, found, strict=True):
        text = question["question"]
        for _ in range(6):
            ids = torch.tensor([PosextLM(str(run.folder)).tok_encode(text)])
            with torch.no_grad():
                token = int(model(ids)[0, -1].argmax())
            text += PosextLM(str(run.folder)).tokens.decode([token])
        expected = text[len(question["question"]) :].split("t")[0]
        assert response[0][0] == expected


def test_extension_changes_long_prompts_and_not_short_ones(run):
    plain = PosextLM(str(run.folder), max_length=64)
    yarn = PosextLM(str(run.folder), extend="yarn", max_length=64)
    short, long = list(range(97, 107)), list(range(97, 122)) * 2
    assert plain.score(short, [98]) == yarn.score(short, [98])
    assert not math.isclose(plain.score(long, [98])[0], yarn.score(long, [98])[0], rel_tol=1e-6)
    assert PosextLM(str(run.folder), extend="yarn", factor=4).max_length == 128
    assert PosextLM(str(run.folder), window="sinks").max_length == 32


def test_prompts_are_not_cut(run, tasks):
    with pytest.raises(PosextError, match="is longer than max_length=8, and prompts are not cut"):
        answers("posext", tasks, "choice", f"run={run.folder},max_length=8")
    with pytest.raises(PosextError, match="is longer than max_length=18"):
        answers("posext", tasks, "answer", f"run={run.folder},max_length=18")


def test_unknown_settings_and_families_are_refused(run):
    with pytest.raises(PosextError, match="needs extend=NAME"):
        PosextLM(str(run.folder), factor=4)
    with pytest.raises(PosextError, match="cannot extend a run of rope"):
        PosextLM(str(run.folder), extend="alibi")
