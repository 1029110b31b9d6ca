"""Examples of algorithmic tasks against oracles in plain Python, on words instead of tokens."""

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.networks import network

from posext.config import EXAMPLE_TOKENS, AlgorithmicData
from posext.data.algorithmic import answers, streams
from posext.data.algorithmic.corpus import TASKS, TaskCorpus
from posext.data.algorithmic.task import IGNORED, PAD, START, Task
from posext.utils.errors import PosextError

HINTED = AlgorithmicData(task="addition", index_hints=True)
CONFIGS = {name: AlgorithmicData(task=name) for name in EXAMPLE_TOKENS} | {"hinted": HINTED}
IN_ALL = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
LENGTHS = (1, 2, 5, 20, 33)


def in_words(config: AlgorithmicData, length: int, rows: int = 40) -> list[tuple[list, dict]]:
    """The words read of each example, and its labels as words by their place."""
    corpus = TaskCorpus(config)
    words = corpus.task.words
    examples = corpus.test_examples(0, length, rows)
    return [
        (
            [words[token] for token in tokens],
            {t: words[label] for t, label in enumerate(labels) if label != IGNORED},
        )
        for tokens, labels in zip(*map(np.ndarray.tolist, examples), strict=True)
    ]


def question_and_answer(read: list, labels: dict) -> tuple[list, list]:
    """Split an example at its equals sign: all after it is scored, and nothing before."""
    start, *rest = read
    assert start == "<s>"
    equals = rest.index("=")
    answer = list(labels.values())
    assert list(labels) == list(range(equals + 1, len(read)))
    assert rest[equals + 1 :] == answer[:-1]
    return rest[:equals], answer


def checked_copy(question, answer):
    assert answer == [*question, "."]


def checked_reverse(question, answer):
    assert answer == [*reversed(question), "."]


def checked_sorting(question, answer):
    assert len(set(question)) == len(question)
    assert answer == [*map(str, sorted(map(int, question))), "."]


def number(digits: list) -> int:
    return int("".join(reversed(digits)))


def checked_addition(question, answer):
    plus = question.index("+")
    first, second = question[:plus], question[plus + 1 :]
    assert len(first) == len(second) == len(answer) - 2
    assert number(first) + number(second) == number(answer[:-1])
    assert answer[-1] == "."


def checked_hinted(question, answer):
    plus = question.index("+")
    parts = question[:plus], question[plus + 1 :], answer[:-1]
    start = int(question[0][1:])
    for part in parts:
        assert part[::2] == [f"#{start + place}" for place in range(len(part) // 2)]
    checked_addition([*parts[0][1::2], "+", *parts[1][1::2]], [*parts[2][1::2], answer[-1]])


def checked_parity(question, answer):
    assert answer == [str(question.count("1") % 2)]


def checked_counting(question, answer):
    assert question.count("reset") == 1
    count = 0
    for statement in question:
        count = 0 if statement == "reset" else count + (statement == "++")
    assert answer == [str(count)]


WITH_ANSWER = {
    name: check
    for name in CONFIGS
    if (check := globals().get(f"checked_{name}"))  # the others have no equals sign, or no answer
}


@pytest.mark.parametrize("name", WITH_ANSWER)
@pytest.mark.parametrize("length", LENGTHS)
def test_draw_answers_every_question(name, length):
    for read, labels in in_words(CONFIGS[name], length):
        question, answer = question_and_answer(read, labels)
        WITH_ANSWER[name](question, answer)


def next_words(read: list, labels: dict) -> list:
    """The words of an example whose labels are the next words, the last one included."""
    text = [*read[1:], labels.get(len(read) - 1)]
    assert all(text[place] == label for place, label in labels.items())
    return text


@pytest.mark.parametrize("length", [1, 2, 5, 20, 160])
def test_dyck_closes_the_last_open_bracket(length):
    for read, labels in in_words(CONFIGS["dyck"], length):
        stack = []
        text = next_words(read, labels)
        assert len(text) == 2 * length
        for place, word in enumerate(text):
            if word[0] == "(":
                stack.append(word[1:])
                assert place not in labels
            else:
                assert labels[place] == f"){stack.pop()}"
            assert len(stack) <= streams.DEPTH
        assert not stack


def test_dyck_words_are_uniform():
    """All 42 words of five pairs are as frequent; words of many pairs reach the greatest depth."""
    shapes = streams.words(5, 42_000, np.random.default_rng(0))
    counts = Counter(map(tuple, shapes.tolist()))
    assert len(counts) == 42
    deviations = np.array(list(counts.values())) - 1000
    assert (deviations**2 / 1000).sum() < 80  # chi-square of 41 degrees of freedom: p = 0.0003
    depth = np.where(streams.words(80, 100, np.random.default_rng(0)), 1, -1).cumsum(axis=1)
    assert depth.max() == streams.DEPTH


def test_dyck_words_are_uniform_below_the_depth(monkeypatch):
    """Words of four pairs that never open three: 8 of the 14."""
    monkeypatch.setattr(streams, "DEPTH", 2)
    streams.opening_shares.cache_clear()
    shapes = streams.words(4, 8_000, np.random.default_rng(0))
    streams.opening_shares.cache_clear()
    counts = np.array(list(Counter(map(tuple, shapes.tolist())).values()))
    assert len(counts) == 8
    assert ((counts - 1000) ** 2 / 1000).sum() < 30


@pytest.mark.parametrize("length", [2, 5, 20, 160])
def test_flip_flop_reads_what_was_written(length):
    kinds = Counter()
    for read, labels in in_words(CONFIGS["flip_flop"], length):
        text = next_words(read, labels)
        instructions, bits = text[::2], text[1::2]
        assert (instructions[0], instructions[-1], len(bits)) == ("w", "r", length)
        kinds.update(instructions[1:-1])
        memory = bits[0]
        for place, (instruction, bit) in enumerate(zip(instructions, bits, strict=True)):
            memory = bit if instruction == "w" else memory
            assert (2 * place + 1 in labels) == (instruction == "r")
            assert instruction != "r" or bit == memory
    if length == 160:
        shares = [kinds[kind] / kinds.total() for kind in "wri"]
        assert shares == pytest.approx([0.1, 0.1, 0.8], abs=0.02)


@pytest.mark.parametrize("length", [1, 2, 5, 20, 160])
def test_mqar_answers_with_the_value_of_each_key(length):
    asked = Counter()
    for read, labels in in_words(CONFIGS["mqar"], length):
        start, *pairs = read[:17]
        values = dict(zip(pairs[::2], pairs[1::2], strict=True))
        assert (start, len(values)) == ("<s>", 8)
        assert labels == {place: values[read[place]] for place in range(17, 17 + length)}
        assert len(read) == 17 + length
        asked.update(pairs.index(key) // 2 for key in read[17:])
    if length == 20:
        assert all(abs(asked[pair] - 100) < 40 for pair in range(8))


@pytest.mark.parametrize("length", LENGTHS)
def test_s5_composes_permutations(length):
    for read, labels in in_words(CONFIGS["s5"], length):
        product = "01234"
        assert list(labels) == list(range(1, length + 1))
        for place, factor in enumerate(read[1:], start=1):
            product = "".join(product[int(image)] for image in factor)
            assert labels[place] == product


@IN_ALL
@pytest.mark.parametrize("length", [3, 20, 57])
def test_tokens_read_is_the_length_of_every_example(config, length):
    tokens, labels = TaskCorpus(config).test_examples(0, length, 8)
    assert tokens.shape == labels.shape == (8, config.tokens_read(length))
    assert (tokens[:, 0] == START).all()
    assert not (tokens == PAD).any()


@IN_ALL
def test_test_examples_differ_from_each_other_and_from_training(config):
    """Some recur where there are few: parity has 2^20 questions, and an early reset of counting
    that nothing follows leaves little to draw."""
    corpus = TaskCorpus(config)
    tokens, _ = corpus.test_examples(0, 20, 256)
    tested = {row.tobytes() for row in tokens}
    assert len(tested) == 256 if config.task != "counting" else len(tested) > 250
    trained = {
        row.tobytes()
        for step in range(20)
        for row in corpus.training_batch(0, step, 100)[0].numpy()
    }
    assert len(tested & trained) <= {"parity": 1, "counting": 10}.get(config.task, 0)
    assert not np.array_equal(tokens, corpus.test_examples(1, 20, 256)[0])
    assert np.array_equal(tokens, corpus.test_examples(0, 20, 256)[0])


@IN_ALL
def test_training_batch_is_a_pure_function_of_seed_and_step(config):
    corpus = TaskCorpus(config)
    tokens, labels, _ = corpus.training_batch(3, 7, 50)
    corpus.training_batch(3, 8, 50)
    again = TaskCorpus(config).training_batch(3, 7, 50)
    assert tokens.equal(again[0])
    assert labels.equal(again[1])
    assert not tokens.equal(corpus.training_batch(3, 8, 50)[0])
    assert not tokens.equal(corpus.training_batch(4, 7, 50)[0])
    assert not tokens.equal(corpus.validation_batch(50)[0])


@IN_ALL
def test_training_batch_has_all_lengths_as_often(config):
    config = replace(config, length=6)
    tokens, labels, _ = TaskCorpus(config).training_batch(0, 0, 6000)
    assert tokens.shape == labels.shape == (6000, config.tokens_read(6))
    ends = (tokens != PAD).sum(dim=1)
    counts = Counter(ends.tolist())
    shortest = TaskCorpus(config).task.shortest
    assert set(counts) == {config.tokens_read(length) for length in range(shortest, 7)}
    assert all(abs(count - 6000 / len(counts)) < 120 for count in counts.values())
    filled = torch.arange(tokens.shape[1]) < ends[:, None]
    assert ((tokens != PAD) == filled).all()
    assert (labels[~filled] == IGNORED).all()


@pytest.mark.parametrize("scheme", ["none", "alibi", "learned", "t5"])
def test_training_batch_scores_each_example_as_if_it_were_alone(scheme):
    """The filling after an example changes nothing, and positions start at 0 in each."""
    tokens, labels, _ = TaskCorpus(AlgorithmicData(task="parity", length=8)).training_batch(0, 0, 9)
    model = network(2, scheme).requires_grad_(False)
    together = model(tokens, labels)
    alone = [
        model(row[None, :end], label[None, :end])
        for row, label, end in zip(tokens, labels, (tokens != PAD).sum(dim=1).tolist(), strict=True)
    ]
    assert float(together) == pytest.approx(float(sum(alone)), rel=1e-5)
    assert float(together) > 1


SMALL: dict[str, tuple[Task, int]] = {
    "copy": (answers.Copy(0), 1),
    "sorting": (answers.Sorting(6), 3),
    "addition": (answers.Addition(0), 2),
    "hinted": (answers.HintedAddition(9), 2),
    "parity": (answers.Parity(0), 3),
    "counting": (answers.Counting(0), 4),
    "dyck": (streams.Dyck(0), 2),
    "flip_flop": (streams.FlipFlop(0), 5),
    "mqar": (streams.MultiQueryRecall(0), 3),
    "s5": (streams.PermutationProduct(0), 1),
}


@pytest.mark.parametrize("name", SMALL)
def test_chance_is_what_the_best_guess_without_the_question_reaches(name):
    """It takes the symbol that follows most often, after each part of an answer that is read."""
    task, length = SMALL[name]
    _, labels = task.draw(length, 100_000, np.random.default_rng(0))
    following = defaultdict(Counter)
    for row in labels:
        symbols = row[row >= task.first].tolist()
        for place, symbol in enumerate(symbols):
            read = () if name in ("mqar", "s5") else tuple(symbols[:place])
            following[place, read][symbol] += 1
    guessed = sum(max(counts.values()) for counts in following.values())
    share = guessed / sum(counts.total() for counts in following.values())
    assert share == pytest.approx(task.chance(length), abs=0.004)


@pytest.mark.parametrize(("length", "chance"), [(1, 1 / 1), (4, 1 / 4), (10, 0.1), (160, 0.1)])
def test_counts_are_uniform_at_every_length(length, chance):
    task = answers.Counting(0)
    _, labels = task.draw(length, 20_000, np.random.default_rng(0))
    shares = np.bincount(labels[labels != IGNORED] - task.first) / 20_000
    assert shares == pytest.approx(chance, abs=0.01)
    assert task.chance(length) == pytest.approx(chance)


def test_test_examples_end_where_symbols_do():
    corpus = TaskCorpus(AlgorithmicData(task="sorting", length=3))
    assert len(corpus.test_examples(0, 48, 1).tokens_RT) == 1
    with pytest.raises(PosextError, match=r"length 49 are too long: data\.length=3 .* 48 items"):
        corpus.test_examples(0, 49, 1)


def test_training_batch_of_flip_flops_reads_bits_that_were_written():
    """The first instruction of each example writes, so that the first label follows from it."""
    corpus = TaskCorpus(AlgorithmicData(task="flip_flop", length=2))
    tokens, labels, _ = corpus.training_batch(0, 0, 50)
    assert {corpus.task.words[token] for token in tokens[:, 1]} == {"w"}
    assert tokens[:, 2].equal(labels[:, 3])
    assert 0 < corpus.task.chance(corpus.task.shortest) < 1


def test_fingerprint_tells_tasks_apart():
    others = [*CONFIGS.values(), AlgorithmicData(length=10), replace(HINTED, length=10)]
    assert len({TaskCorpus(config).fingerprint for config in others}) == len(others)
    assert TaskCorpus(HINTED).fingerprint == TaskCorpus(replace(HINTED, cache="x")).fingerprint


@IN_ALL
def test_tokenizer_writes_and_reads_the_vocabulary(config):
    corpus = TaskCorpus(config)
    words = corpus.task.words
    assert len(set(words)) == len(words) == corpus.vocab_size
    assert corpus.tokenizer.encode(" ".join(words)).ids == list(range(len(words)))
    assert set(TASKS) == set(EXAMPLE_TOKENS)
