"""Errors at every entry point: one line names the value and the valid ones, and the exit code is 2.

Nothing is left behind. Each case has the arguments and a part of the message.
"""

import hashlib
import json
import os
import runpy
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from posext import evaluate, train
from posext.cli import schemes

SCRIPT_FOLDER = Path(__file__).resolve().parents[2] / "scripts"
LONG = "a few words that say little " * 100  # 2,800 bytes: enough for every context here

TRAIN_SETTINGS = [
    ([], "choose a positional encoding: +pe=NAME, one of alibi, "),
    (["+pe=yarnn"], "unknown pe=yarnn; choose one of alibi"),
    (["+pe=../model/tiny"], "unknown pe=../model/tiny; choose one of alibi"),
    (["+pe=rope", "model=huge"], "unknown model=huge; choose one of base"),
    (["+pe=rope", "lenght=progressive"], "did you mean length?"),
    (["+pe=yarn", "pe.beta_fats=4"], "unknown setting pe.beta_fats; did you mean beta_fast?"),
    (["+pe=rope", "evaluation.block=4"], "did you mean blocks?"),
    (
        ["+pe=rope", "optimizer.beta3=1"],
        "unknown setting optimizer.beta3; did you mean beta2? Valid in optimizer: kind",
    ),
    (["+pe=rope", "pe.factor=8"], "unknown setting pe.factor; Valid in pe: _target_, base"),
    (["+pe=rope", "steps"], "missing EQUAL"),
    (
        ["+pe=rope", "steps=many"],
        "steps: Value 'many' of type 'str' could not be converted to Integer",
    ),
    (["+pe=rope", "steps=-1"], "steps must be a whole number of at least 1, not -1"),
    (["+pe=rope", "seed=-1"], "seed must be a whole number of at least 0, not -1"),
    (["+pe=rope", "learning_rate=nan"], "learning_rate must be a number above 0, not nan"),
    (
        ["+pe=rope", "optimizer.beta1=1"],
        "optimizer.beta1 must be a number of at least 0 and below 1, not 1.0",
    ),
    (
        ["+pe=rope", "optimizer.weight_decay=nan"],
        "optimizer.weight_decay must be a number of at least 0, not nan",
    ),
    (["+pe=rope", "optimizer.clip=0"], "optimizer.clip must be a number above 0, not 0.0"),
    (["+pe=rope", "precision=fp8"], "precision must be one of auto, fp32, bf16, not 'fp8'"),
    (
        ["+pe=rope", "protocols=[exact]"],
        "protocols must be a list, each one of fixed_target, far_copy",
    ),
    (["+pe=rope", "name=../mine"], "name must be at most 200 letters, digits"),
    (["+pe=rope", f"name={'n' * 300}"], "name must be at most 200 letters, digits"),
]
TRAIN_LENGTHS = [
    (["+pe=rope", "train_length=0"], "train_length must be a whole number of at least 2, not 0"),
    (["+pe=rope", "train_length=512"], "a sequence of 512 tokens does not fit tokens_per_step=256"),
    (
        ["+pe=rope", "context_lengths=[0,16]"],
        "context_lengths must be increasing numbers of at least 2, not [0, 16]",
    ),
    (
        ["+pe=rope", "context_lengths=[32,16]"],
        "context_lengths must be increasing numbers of at least 2, not [32, 16]",
    ),
    (
        ["+pe=rope", "context_lengths=[]"],
        "context_lengths must be increasing numbers of at least 2, not []",
    ),
    (
        ["+pe=rope", "length.stages=[]"],
        "the shares of length.stages must be above 0 and sum to 1, not []",
    ),
    (["+pe=rope", "length.stages=[{multiple:1,share:nan}]"], "sum to 1, not [nan]"),
    (
        ["+pe=rope", "length.stages=[{multiple:2,share:1}]"],
        "must start at 1 and never fall, not [2]",
    ),
    (
        ["+pe=rope", "evaluation.scored_share=0.6"],
        "evaluation.scored_share must be a number above 0 and at most 0.5, not 0.6",
    ),
    (
        ["+pe=rope", "evaluation.stride=9", "protocols=[sliding]"],
        "a stride must lie between 1 and the context length 8, not 9",
    ),
    (["+pe=rope", "context_lengths=[16,65536]"], "its targets need; the longest has "),
    (["+pe=rope", "train_length=4000", "tokens_per_step=4000"], "no document has 4001 tokens"),
    (
        ["+pe=rope", "data.path=short.txt", "evaluate=false"],
        "as a length of 16 needs; the longest has 14",
    ),
    (["+pe=learned", "pe.max_length=8"], "learned ends at 8, but training goes to 16 tokens"),
    (["+pe=learned", "length=progressive"], "learned ends at 16, but training goes to 64 tokens"),
    (
        ["+pe=rope", "length.stages=[{window:0}]"],
        "length.stages.window must be a number above 0 and at most 1, not 0.0",
    ),
    (
        ["+pe=rope", "+window=sliding", "length=window"],
        "the windows of length.stages go with no window of a layer, such as SlidingWindow",
    ),
]
TRAIN_NETWORK = [
    (["+pe=rope", "model.n_heads=5"], "model.n_heads=5 does not divide model.d_model=32"),
    (["+pe=rope", "model.n_heads=32"], "rotary schemes need an even head_dim, not 1"),
    (
        ["+pe=alibi", "+qk_gain=per_pair", "model.n_heads=32"],
        "gains of pairs need an even head_dim, not 1",
    ),
    (["+pe=ntk", "model.n_heads=16"], "a change of base cannot scale a head_dim of 2"),
    (["+pe=dynamic_ntk", "model.n_heads=16"], "a change of base cannot scale a head_dim of 2"),
    (
        ["+pe=rope", "pe._target_=os.system"],
        "_target_ 'os.system' is refused: it lies outside posext",
    ),
    (
        ["+pe=rope", "pe._target_=posext.pe.rope.Rope"],
        "_target_ 'posext.pe.rope.Rope' cannot be found",
    ),
    (
        ["+pe=rope", "pe._target_=posext.nowhere.Rope"],
        "_target_ 'posext.nowhere.Rope' cannot be found",
    ),
    (
        ["+pe=rope", "pe._target_=posext.model.gpt.GPT"],
        "_target_ 'posext.model.gpt.GPT' is refused: it is no Positional",
    ),
    (
        ["+pe=rope", "own_modules=[nowhere]", "pe._target_=nowhere.Own"],
        "_target_ 'nowhere.Own' cannot be found",
    ),
    (["+pe=rope", "+window=wide"], "unknown window=wide; choose one of chunk, dca"),
    (["+pe=rope", "+window=narrow"], "sinks, sliding, string\n"),  # and nothing after them
    (["+pe=alibi", "+window=rerope"], "so it needs a rotary scheme, not one of the family bias"),
    (
        ["+pe=rope", "+position_ids=pose", "position_ids.multiple=0"],
        "position_ids.multiple must be a number of at least 1, not 0",
    ),
]
TRAIN_MORE_SETTINGS = [
    (["+pe=rope", "+attention_scale=big"], "unknown attention_scale=big; choose one of drope"),
    (["+pe=rope", "+position_ids=odd"], "unknown position_ids=odd; choose one of pose"),
    (["+pe=rope", "+qk_gain=all"], "unknown qk_gain=all; choose one of per_dim"),
    (
        ["+pe=rope", "steps=2.5"],
        "steps: Value '2.5' of type 'float' could not be converted to Integer",
    ),
    (["+pe=rope", "learning_rate=-1"], "learning_rate must be a number above 0, not -1"),
    (
        ["+pe=rope", "optimizer.schedule=linear"],
        "optimizer.schedule must be one of cosine, wsd, not 'linear'",
    ),
    (
        ["+pe=rope", "optimizer.warmup_share=2"],
        "optimizer.warmup_share must be a number from 0 to 1, not 2.0",
    ),
    (["+pe=rope", "compile=maybe"], "compile must be one of auto, true, false, not 'maybe'"),
    (
        ["+pe=rope", "tracking.wandb=always"],
        "tracking.wandb must be one of offline, online, disabled, not 'always'",
    ),
    (
        ["+pe=rope", "train_length=-16"],
        "train_length must be a whole number of at least 2, not -16",
    ),
    (
        ["+pe=rope", "context_lengths=[-16]"],
        "context_lengths must be increasing numbers of at least 2, not [-16]",
    ),
    (
        ["+pe=rope", "evaluation.seed=-1"],
        "evaluation.seed must be a whole number of at least 0, not -1",
    ),
    (["+pe=rope", "model.n_heads=0"], "model.n_heads must be a whole number of at least 1, not 0"),
]
TRAIN_MODIFIERS = [
    (
        ["+pe=irope", "pe.layers=[{scheme:rope}]"],
        "an entry of pe.layers names its scheme, as in {pe: rope}",
    ),
    (["+pe=irope", "pe.layers=[{pe:learned}]"], "learned is added to the embeddings"),
    (
        ["+pe=irope", "pe.layers=[{pe:rope,repeat:0}]"],
        "repeat must be a whole number of at least 1, not 0",
    ),
    (
        ["+pe=irope", "pe.layers=[{pe:rope,window:8}]"],
        "window=8 is neither the name of a choice nor a mapping",
    ),
    (["+pe=alibi", "pe.slopes=[-1]"], "unknown setting pe.slopes; Valid in pe: _target_"),
    (
        ["+pe=rope", "+window=sliding", "window.size=0"],
        "window.size must be a whole number of at least 1, or auto, not 0",
    ),
    (
        ["+pe=rope", "+window=sinks", "window.start_size=-1"],
        "window.start_size must be a whole number of at least 1, not -1",
    ),
    (
        ["+pe=rope", "+window=rerope", "window.w=0"],
        "window.w must be a whole number of at least 1, or auto, not 0",
    ),
    (
        ["+pe=rope", "+window=leaky_rerope", "window.k=0"],
        "window.k must be a number of at least 1, or auto, not 0",
    ),
    (
        ["+pe=rope", "+window=self_extend", "window.group_size=0"],
        "window.group_size must be a whole number of at least 1, or auto, not 0",
    ),
    (
        ["+pe=rope", "+window=lambda_mask", "window.n_starting=0"],
        "window.n_starting must be a whole number of at least 1, not 0",
    ),
    (
        ["+pe=rope", "+window=dca", "window.local=99"],
        "window.local=99 leaves no chunk of window.longest=12",
    ),
    (
        ["+pe=rope", "+attention_scale=llama4", "attention_scale.floor_scale=0"],
        "attention_scale.floor_scale must be a whole number of at least 1, or auto, not 0",
    ),
    (
        ["+pe=rope", "+attention_scale=ssmax", "attention_scale.start=-1"],
        "start must be a number above 0, or auto, not -1",
    ),
    (
        ["+pe=rope", "+attention_scale=yarn", "attention_scale.factor=0"],
        "attention_scale.factor must be a number of at least 1, or auto, not 0",
    ),
    (
        ["+pe=rope", "+position_ids=pose", "position_ids.multiple=nan"],
        "position_ids.multiple must be a number of at least 1, not nan",
    ),
    (
        ["+pe=rope", "+position_ids=shape", "position_ids.largest=-1"],
        "position_ids.largest must be a whole number of at least 0, or auto, not -1",
    ),
    (
        ["+pe=rope", "+qk_gain=per_pair", "qk_gain.weights=[1]"],
        "qk_gain.weights has 1 numbers; a head has 4 pairs",
    ),
    (
        ["+pe=rope", "+qk_gain=per_pair", "qk_gain.weights=[1,1,1,nan]"],
        "qk_gain.weights must be a list, each a finite number, or null, not [1, 1, 1, nan]",
    ),
]
TRAIN_DATA = [
    (["data.path=nowhere.txt"], "data.path=nowhere.txt does not exist"),
    (["data.path=empty.txt"], "the 0 documents of empty.txt leave none for validation"),
    (["data.path=lone"], "the 0 documents of lone leave none for validation"),
    (
        ["data.path=folder"],
        "data.path=folder holds no .txt, .md, .jsonl, .jsonl.gz, .jsonl.zst",
    ),
    (["data.path=binary.txt"], "binary.txt is not UTF-8 text: invalid start byte at byte 0"),
    (["data.path=zeros.txt"], "zeros.txt is not text: it holds a zero at character 0"),
    (["data.path=latin.txt"], "latin.txt is not UTF-8 text: invalid continuation byte at byte 1"),
    (["data.path=broken.jsonl"], "broken.jsonl cannot be read as json"),
    (["data.path=broken.parquet"], "broken.parquet cannot be read as parquet"),
    (
        ["data.path=rows.jsonl", "data.column=body"],
        "rows.jsonl has no column 'body'; it has text, number (data.column)",
    ),
    (
        ["data.path=rows.jsonl", "data.column=number"],
        "rows.jsonl holds 1.5 in row 0 of column 'number', which is no text",
    ),
    (
        ["data.path=gaps.parquet"],
        "gaps.parquet holds None in row 1 of column 'text', which is no text",
    ),
    (["data.path=null"], "data=text needs data.path"),
    (
        ["data.validation_share=1"],
        "data.validation_share must be a number above 0 and below 1, not 1.0",
    ),
    (
        ["data.validation_share=nan"],
        "data.validation_share must be a number above 0 and below 1, not nan",
    ),
    (["data.validation_share=1e-9"], "leave none for validation"),
    (["data.source=web"], "data.source must be text, not 'web'"),
    (["data.tokenizer=nowhere.json"], "data.tokenizer='nowhere.json' is neither bpe, bytes"),
    (["data.tokenizer=../nowhere"], "data.tokenizer='../nowhere' is neither bpe, bytes"),
    (
        ["data.tokenizer=no/such/tokenizer"],
        "data.tokenizer='no/such/tokenizer' is neither bpe, bytes",
    ),
    (["data.tokenizer=binary.txt"], "data.tokenizer='binary.txt' is neither bpe, bytes"),
    (["data.tokenizer=gap.json"], "has ids up to 99, but 3 tokens"),
    (["data.tokenizer=letters"], "data=text does not go with data.tokenizer=letters"),
    (
        ["data.tokenizer=bpe", "data.vocab_size=100"],
        "data.vocab_size must be at least 256, the bytes, not 100",
    ),
    (["data=markov", "data.tokenizer=bpe"], "data.tokenizer must be letters, not 'bpe'"),
    (
        ["data=python", "data.tokenizer=letters"],
        "data=python does not go with data.tokenizer=letters",
    ),
    (
        ["data=markov", "data.documents=0"],
        "data.documents must be a whole number of at least 1, not 0",
    ),
    (["data=markov", "data.seed=-1"], "data.seed must be a whole number of at least 0, not -1"),
    (["data=markov", "data.symbols=1"], "data.symbols must be a whole number from 2 to 62, not 1"),
    (["data=copy", "data.symbols=63"], "data.symbols must be a whole number from 2 to 62, not 63"),
    (["data=markov", "data.vocab_size=7"], "data.vocab_size must be data.symbols=5, not 7"),
    (["data=markov", "data.order=0"], "data.order must be a whole number of at least 1, not 0"),
    (["data=markov", "data.order=6"], "data.order must be at most 5 with 5 symbols, not 6"),
    (
        ["data=markov", "data.concentration=0"],
        "data.concentration must be a number above 0, not 0",
    ),
    (
        ["data=markov", "data.concentration=nan"],
        "data.concentration must be a number above 0, not nan",
    ),
    (
        ["data=copy", "data.period_max=15"],
        "data.period_max must be at least data.period_min=16, not 15",
    ),
    (
        ["data=wikitext103", "data.path=../secrets"],
        "data.path=../secrets is no id on the hub, OWNER/NAME",
    ),
]
RUN, ALIBI, LEARNED = (f"run=results/runs/{name}" for name in ("rope", "alibi", "learned"))
EVALUATE = [
    ([], "name the run to measure: run=results/runs/NAME"),
    (["run=nowhere"], "nowhere is not the folder of a run: it has no config.yaml"),
    (["run=folder"], "folder is not the folder of a run: it has no config.yaml"),
    (["run=latin.txt"], "latin.txt is not the folder of a run: it has no config.yaml"),
    (["run=runs/unfinished"], "is not trained to its end yet: run its training command again"),
    (["run=runs/cut"], "no config of a run: it lacks train_length"),
    (["run=runs/future"], "is not a config of this version: Key 'dropout' not in 'TrainConfig'"),
    (["run=runs/binary"], "is no config of a run: it cannot be read"),
    (["run=runs/list"], "is no config of a run: it lacks pe"),
    (["run=runs/nameless"], "has not both a name and a _target_"),
    (["run=runs/record"], "run.json is damaged"),
    (["run=runs/recordless"], "run.json lacks "),
    (["run=runs/weights"], "model.safetensors are damaged: "),
    (["run=runs/other"], "was trained on other data (0123456789abcdef, now "),
    ([RUN, "+pe@extend=yarnn"], "unknown pe=yarnn; choose one of alibi"),
    ([RUN, "extend.factor=8"], "extend"),
    (
        [RUN, "+pe@extend=yarn", "extend.facto=8"],
        "unknown setting extend.facto; did you mean factor?",
    ),
    (
        [RUN, "+pe@extend=yarn", "extend.factor=0"],
        "factor must be a number of at least 1, or auto, not 0",
    ),
    (
        [RUN, "+pe@extend=yarn", "extend.factor=nan"],
        "factor must be a number of at least 1, or auto, not ",
    ),
    (
        [RUN, "+pe@extend=alibi"],
        "alibi (bias) cannot extend a run of rope (rotary): choose a scheme of the family rotary",
    ),
    ([LEARNED, "+pe@extend=rope"], "rope (rotary) cannot extend a run of learned (absolute)"),
    ([ALIBI, "+pe@extend=linear"], "linear (rotary) cannot extend a run of alibi (bias)"),
    ([ALIBI, "+pe@extend=fire"], "do not fit fire"),
    ([ALIBI, "+window=rerope"], "so it needs a rotary scheme, not one of the family bias"),
    ([RUN, "+attention_scale=ssmax"], "do not fit rope+ssmax"),
    (
        [RUN, "+pe@extend=yarn", "extend.beta_fast=auto", "+attention_scale=logn"],
        "YaRN has a temperature of its own",
    ),
    (
        [LEARNED, "context_lengths=[32,64]"],
        "learned ends at 16, below the shortest context length, 32",
    ),
    ([RUN, "context_lengths=[64,32]"], "context_lengths must be increasing numbers"),
    ([RUN, "context_lengths=[16,65536]"], "no held-out document has 65537 tokens"),
    (
        [RUN, "protocols=[exact]"],
        "protocols must be a list, each one of fixed_target, far_copy",
    ),
    ([RUN, "protocols=[]"], "protocols must name at least one of fixed_target"),
    ([RUN, "precision=int8"], "precision must be one of auto, fp32, bf16, not 'int8'"),
    (
        [RUN, "evaluation.targets=0"],
        "evaluation.targets must be a whole number of at least 1, or null, not 0",
    ),
    (
        [RUN, "evaluation.bootstrap=0"],
        "evaluation.bootstrap must be a whole number of at least 1, not 0",
    ),
    (
        [RUN, "evaluation.ngram=1", "protocols=[far_copy]"],
        "evaluation.ngram must be a whole number of at least 3, not 1",
    ),
    ([RUN, "train_length=32"], "train_length goes with a checkpoint"),
]
SCRIPTS = {
    "plot_curves": [
        ([], "the following arguments are required: RUN"),
        (["nowhere"], "nowhere is neither the folder of a run nor a file of curves"),
        (["folder"], "none of these holds curves: folder"),
        (["latin.txt"], "latin.txt is no table of results"),
        (["results/runs/rope", "--factor", "8"], "argument --factor: invalid choice: '8'"),
        (
            ["results/runs/rope", "--protocol", "exact"],
            "no curve was measured under 'exact', but under fixed_target",
        ),
        (["results/runs/rope", "--out", "nowhere/figure.png"], "nowhere/figure.png"),
        (
            ["results/runs/rope", "--out", "figure.txt"],
            "--out figure.txt: the format must be one of ",
        ),
        (["results/runs/rope", "--widht", "8"], "unrecognized arguments: --widht 8"),
    ],
    "plot_zoo": [
        (["nowhere"], "nowhere is neither the folder of a run nor a file of curves"),
        (["results/runs/alibi/curves.csv"], "holds no curve of rope at its training length"),
    ],
    "more_tokens": [(["nowhere"], "nowhere/curves.csv")],
    "protocols": [(["nowhere"], "nowhere")],
    "make_table": [
        (["nowhere"], "nowhere is neither the folder of a run nor a file of curves"),
        (
            ["results/runs/rope", "--floor"],
            "rope has no floor: it takes a measured run on data=markov or copy",
        ),
    ],
    "collect": [
        (["results/runs/rope"], "the following arguments are required: --out"),
        (
            ["nowhere", "--out", "study"],
            "nowhere is neither the folder of a run nor a file of curves",
        ),
        (
            ["results/runs/rope/curves.csv", "--out", "study"],
            "curves.csv is not the folder of a run",
        ),
    ],
    "compare": [
        (
            ["results/runs/rope"],
            "nothing to compare: name two curves or more that have a context length in common",
        ),
        (
            ["results/runs/rope", "nowhere"],
            "nowhere holds no curves; python -m posext.evaluate run=nowhere measures a trained run",
        ),
        (
            ["results/runs/rope", "--protocol", "exact"],
            "results/runs/rope has no protocol 'exact'; it has 'fixed_target'",
        ),
        (
            ["results/runs/rope", "--group", "near"],
            "results/runs/rope has no group 'near'; it has ''",
        ),
        (
            ["results/runs/rope", "results/runs/alibi", "--bootstrap", "0"],
            "a seed of at least 0, not 0 and 0",
        ),
        (
            ["results/runs/rope", "results/runs/alibi", "--seed", "-1"],
            "a seed of at least 0, not 1000 and -1",
        ),
        (
            ["results/runs/rope", "--bootstrap", "many"],
            "argument --bootstrap: invalid int value: 'many'",
        ),
        (["results/runs/rope", "--at-train", "--protocol", "pi"], "lengths compare under far_copy"),
    ],
    "search_longrope": [
        (["nowhere"], "nowhere is not the folder of a run"),
        (["results/runs/alibi"], "is not a trained run of rope"),
        (
            ["results/runs/rope", "--factor", "1"],
            "--factor must be a number above 1, and --windows above 0: got 1.0",
        ),
        (
            ["results/runs/rope", "--factor", "nan"],
            "--factor must be a number above 1, and --windows above 0: got nan",
        ),
        (
            ["results/runs/rope", "--factor", "inf"],
            "--factor must be a number above 1, and --windows above 0: got inf",
        ),
        (["results/runs/rope", "--windows", "0"], "got 8.0 and 0"),
        (["results/runs/rope", "--factor", "4096"], "document has 65537 tokens"),
        (["results/runs/rope", "--population", "2"], "--population must be at least 6, not 2"),
        (["results/runs/rope", "--generations", "-1"], "--generations must be at least 0, not -1"),
        (["results/runs/rope", "--seed", "-1"], "--seed must be at least 0, not -1"),
    ],
}
SHOW_SCHEME = [
    (["show", "rope", "base=1"], "base must be a number above 1, not 1"),
    (["show", "rope", "base=large"], "base must be a number above 1, not 'large'"),
    (
        ["show", "yarn", "factor=0"],
        "factor must be a number of at least 1, or auto, not 0",
    ),
    (
        ["show", "linear", "factor=-4"],
        "factor must be a number of at least 1, or auto, not -4",
    ),
    (
        ["show", "ntk", "factor=nan"],
        "factor must be a number of at least 1, or auto, not ",
    ),
    (
        ["show", "mrrope_pro", "factor=inf"],
        "factor must be a number of at least 1, or auto, not 'inf'",
    ),
    (
        ["show", "yarn", "beta_fast=1", "beta_slow=32"],
        "beta_fast must exceed beta_slow: got 1.0 and 32.0",
    ),
    (
        ["show", "ntk_by_parts", "beta_slow=nan"],
        "beta_slow must be a number above 0, not 'nan'",
    ),
    (
        ["show", "yarn", "attention_factor=0"],
        "attention_factor must be a number above 0, or auto, not 0",
    ),
    (["show", "yarn", "mscale=1"], "mscale and mscale_all_dim go together"),
    (
        ["show", "yarn", "mscale=nan", "mscale_all_dim=1"],
        "mscale must be a number of at least 0, or null, not 'nan'",
    ),
    (
        ["show", "yarn", "ramp=sideways"],
        "ramp must be one of index, rotations, not 'sideways'",
    ),
    (
        ["show", "llama3", "high_freq_factor=1"],
        "high_freq_factor must exceed low_freq_factor: got 1.0 and 1.0",
    ),
    (
        ["show", "longrope", "long_factor=[1,2]"],
        "long_factor must hold 32 numbers above 0, one a pair, not [1.0, 2.0]",
    ),
    (
        ["show", "longrope", "long_factor=[1,2,3,nan]"],
        "long_factor must hold 32 numbers above 0, one a pair",
    ),
    (
        ["show", "dynamic_ntk", "hf_factor=4"],
        "semantics=paper has no factor, so hf_factor=4.0 would do nothing",
    ),
    (
        ["show", "dynamic_ntk", "semantics=hf", "hf_factor=0"],
        "hf_factor must be a number of at least 1, not 0",
    ),
    (["show", "ntk_mixed", "power=-1"], "power must be a number of at least 0, not -1"),
    (["show", "giraffe_power", "power=nan"], "power must be a number of at least 0, not 'nan'"),
    (["show", "clipped", "share=2"], "share must be a number from 0 to 1, not 2"),
    (["show", "drope", "share=-1"], "share must be a number from 0 to 1, not -1"),
    (
        ["show", "partial", "share=nan"],
        "share must be a number above 0 and at most 1, not 'nan'",
    ),
    (["show", "proportional", "share=0"], "share must be a number above 0 and at most 1, not 0"),
    (["show", "xpos", "scale_base=0"], "scale_base must be a number above 0, or auto, not 0"),
    (
        ["show", "note_ntk_poly", "alpha=-1"],
        "alpha must be a number of at least 0, not -1",
    ),
    (["show", "note_rope_power", "alpha=0"], "alpha must be a number above 0, not 0"),
    (["show", "note_uniform", "alpha=-1"], "alpha must be a number above 0, not -1"),
    (
        ["show", "learned", "max_length=0"],
        "max_length must be a whole number of at least 1, or auto, not 0",
    ),
    (["show", "t5", "buckets=0"], "buckets must be a whole number of at least 2, not 0"),
    (["show", "t5", "max_distance=16"], "max_distance must exceed half of buckets=32, not be 16"),
    (["show", "fire", "width=0"], "width must be a whole number of at least 1, not 0"),
    (["show", "fire", "c=nan"], "c must be a finite number, not 'nan'"),
    (["show", "sandwich", "width=7"], "width must be even, not 7"),
    (
        ["show", "cope", "max_position=1"],
        "max_position must be a whole number of at least 2, not 1",
    ),
    (["show", "dape", "width=0"], "width must be a whole number of at least 1, not 0"),
    (["show", "dape", "based_on=rope"], "dape adapts an additive bias, and rope has none"),
    (
        ["show", "dape", "based_on=nothing"],
        "unknown positional encoding 'nothing'; choose one of alibi",
    ),
    (
        ["show", "stick_breaking", "remainder=all"],
        "remainder must be one of self, none, not 'all'",
    ),
    (["show", "irope", "layers=[]"], "pe.layers must name at least one layer"),
]
SHOW_COMMAND = [
    (["shwo", "yarn"], "unknown command 'shwo yarn'; there are: show NAME"),
    (["show", "yarnn"], "unknown positional encoding 'yarnn'; choose one of alibi"),
    (
        ["show", "yarn", "factor"],
        "unknown setting 'factor' of yarn; there are KEY=VALUE for base, factor",
    ),
    (["show", "yarn", "length=0"], "length=0 is not a whole number of at least 1"),
    (["show", "yarn", "head_dim=7"], "rotary schemes need an even head_dim, not 7"),
    (
        ["show", "rope", "train_length=1"],
        "train_length must be a whole number of at least 2, not 1",
    ),
    (
        ["show", "learned", "length=512"],
        "learned is defined up to 128 tokens, so not at length=512",
    ),
    (["show", "rope", "png=nowhere/figure.png"], "nowhere/figure.png"),
]


@pytest.fixture(scope="module")
def place(small, tmp_path_factory):
    """A folder with three small runs, and with inputs that are wrong in every way."""
    place = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for scheme in ("rope", "alibi", "learned"):
            settings = [*small, "steps=1", "context_lengths=[16]", f"name={scheme}"]
            patch.setattr("sys.argv", ["train", f"+pe={scheme}", *settings])
            train.main()
    write_texts(place)
    write_tables(place)
    write_tokenizer(place / "gap.json")
    write_broken_runs(place / "results/runs/rope", place / "runs")
    return place


def write_texts(place: Path) -> None:
    (place / "empty.txt").write_text("")
    (place / "lone").mkdir()
    (place / "lone" / "empty.txt").write_text("")
    (place / "binary.txt").write_bytes(bytes(range(255, -1, -1)) * 8)
    (place / "zeros.txt").write_bytes(bytes(4000))
    (place / "latin.txt").write_bytes(LONG.replace("a", "né").encode("latin-1"))
    (place / "short.txt").write_text("twenty letters in it")
    (place / "folder").mkdir()
    (place / "folder" / "picture.png").write_bytes(bytes(8))


def write_tables(place: Path) -> None:
    (place / "broken.jsonl").write_text('{"text": "never clo')
    (place / "broken.parquet").write_bytes(b"PAR1" + bytes(40))
    row = json.dumps({"text": LONG, "number": 1.5}) + "\n"
    (place / "rows.jsonl").write_text(8 * row)
    pd.DataFrame({"text": [LONG, None, LONG]}).to_parquet(place / "gaps.parquet")


def write_tokenizer(file: Path) -> None:
    """Write a tokenizer of three tokens, of which one has a larger id."""
    model = {"type": "WordLevel", "vocab": {"a": 0, "few": 1, "words": 99}, "unk_token": "a"}
    parts = "truncation padding normalizer pre_tokenizer post_processor decoder".split()
    content = {"version": "1.0", "added_tokens": [], **dict.fromkeys(parts), "model": model}
    file.write_text(json.dumps(content))


def write_broken_runs(run: Path, folder: Path) -> None:
    """Write copies of a run, each broken in one file."""
    config = (run / "config.yaml").read_text()
    configs = {
        "unfinished": config,
        "cut": config.replace("train_length: 16\n", ""),
        "future": config + "dropout: 0.1\n",
        "binary": "\x00\x01",
        "list": "- pe\n- model\n",
        "nameless": config.replace("_target_: posext.pe.rope.RoPE", "scale: 1"),
        **dict.fromkeys(["record", "recordless", "weights", "other"], config),
    }
    for name, text in configs.items():
        shutil.copytree(run, folder / name)
        (folder / name / "config.yaml").write_text(text)
    record = (run / "run.json").read_text()
    (folder / "unfinished/run.json").unlink()
    (folder / "unfinished/curves.csv").unlink()
    (folder / "record/run.json").write_text(record[:40])
    (folder / "recordless/run.json").write_text("{}")
    other = json.loads(record) | {"data": "0123456789abcdef"}
    (folder / "other/run.json").write_text(json.dumps(other))
    (folder / "weights/model.safetensors").write_bytes(b"weights")


def files(folder: Path) -> dict[str, str]:
    """Return every folder and file below, with a digest of its content."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


def corpora(small: list[str]) -> set[str]:
    """Return the complete corpora in the cache of these settings."""
    (cache,) = [setting.partition("=")[2] for setting in small if setting.startswith("data.cache=")]
    return {
        path.name
        for path in Path(cache).iterdir()
        if path.is_dir() and path.suffix != ".unfinished"
    }


@pytest.fixture
def check_refused(place, monkeypatch, capsys):
    """Run an entry point in that folder, and check that it ends with one line, as it must."""

    def check(main, arguments: list[str], message: str) -> None:
        monkeypatch.chdir(place)
        monkeypatch.setattr("sys.argv", ["posext", *arguments])
        before = files(place)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        err = capsys.readouterr().err
        assert message in err
        assert len(err.splitlines()) == 1, err
        assert err.startswith("posext: ")
        assert stopped.value.code == 2
        assert files(place) == before

    return check


def case_id(value):
    return " ".join(value) if isinstance(value, list) else ""


@pytest.mark.parametrize(
    ("arguments", "message"), TRAIN_SETTINGS + TRAIN_LENGTHS + TRAIN_NETWORK, ids=case_id
)
def test_train_refuses_settings(check_refused, small, arguments, message):
    check_refused(train.main, [*small, *arguments], message)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"), TRAIN_MORE_SETTINGS + TRAIN_MODIFIERS, ids=case_id
)
def test_train_refuses_more_settings_and_modifiers(check_refused, small, arguments, message):
    check_refused(train.main, [*small, *arguments], message)


@pytest.mark.parametrize(("arguments", "message"), TRAIN_DATA, ids=case_id)
def test_train_refuses_data_and_caches_nothing(
    check_refused, small, monkeypatch, arguments, message
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = corpora(small)
    settings = ["+pe=rope", *small, "evaluate=false"]
    if arguments[0].startswith("data="):  # another source, which has settings of its own
        of_text = ("data.tokenizer", "data.path")
        settings = [setting for setting in settings if not setting.startswith(of_text)]
    check_refused(train.main, [*settings, *arguments], message)
    assert corpora(small) == before


@pytest.mark.parametrize(("arguments", "message"), EVALUATE, ids=case_id)
def test_evaluate_refuses_runs_and_settings(check_refused, arguments, message):
    check_refused(evaluate.main, ["tracking.wandb=disabled", *arguments], message)


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        pytest.param(script, arguments, message, id=" ".join([script, *arguments]))
        for script, cases in SCRIPTS.items()
        for arguments, message in cases
    ],
)
def test_script_refuses_arguments(check_refused, script, arguments, message):
    file = SCRIPT_FOLDER / f"{script}.py"
    check_refused(lambda: runpy.run_path(str(file), run_name="__main__"), arguments, message)


@pytest.mark.parametrize(("arguments", "message"), SHOW_SCHEME + SHOW_COMMAND, ids=case_id)
def test_show_refuses_schemes_and_settings(check_refused, arguments, message):
    check_refused(schemes.main, arguments, message)


def test_train_refuses_more_processes_than_sequences(check_refused, small, monkeypatch):
    many = SimpleNamespace(num_processes=17, is_main_process=True, main_process_first=nullcontext)
    monkeypatch.setattr("posext.train.PartialState", lambda: many)
    message = "17 processes cannot share 16 sequences of 16 tokens a step"
    check_refused(train.main, ["+pe=rope", *small], message)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["-m", "posext.train", "+pe=rope", "precision=fp8"],
            "precision must be one of auto, fp32, bf16, not 'fp8'",
        ),
        (["-m", "posext.evaluate", "run=nowhere"], "nowhere is not the folder of a run"),
        ([str(SCRIPT_FOLDER / "plot_curves.py"), "nowhere"], "nowhere is neither"),
        ([str(SCRIPT_FOLDER / "compare.py"), "--seed"], "expected one argument"),
    ],
)
def test_command_in_its_own_process_exits_with_2(tmp_path, arguments, message):
    finished = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SCRIPT_FOLDER.parent)},
    )
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr.startswith("posext: ")
    assert message in finished.stderr
    assert len(finished.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
