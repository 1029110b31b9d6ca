"""A run, a config and a data set may come from a stranger: nothing in them is run, looked up, or written outside its place."""

import ast
import pickle
import re
import runpy
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posext.config import DataConfig, ModelConfig, TrainConfig
from posext.data.corpus import documents
from posext.data.tokenizer import make
from posext.runs.run import load_run, name_of, prepare_run

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path for folder in ("posext", "scripts", "examples") for path in (ROOT / folder).rglob("*.py")
)
RUNS_CODE = {"eval", "exec", "compile", "__import__"}
UNPICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}  # modules
LOADS = {
    "torch.load",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "pd.read_pickle",
    "torch.hub.load",
}
TRUSTS = ("trust_remote_code", "allow_pickle", "shell")  # never but False
LOOKS_UP = {
    "get_class",
    "get_object",
    "get_method",
    "get_static_method",
    "instantiate",
    "import_module",
    "_locate",
}


class Bomb:
    """Whoever unpickles it, leaves a file called `owned`."""

    def __reduce__(self):
        return Path.touch, (Path("owned").absolute(),)


def planted(file: Path) -> None:
    """A pickle in the place of a file that is read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(pickle.dumps(Bomb()))


def called(tree: ast.AST) -> set[str]:
    """What a module calls, as written: `eval`, `torch.load`."""
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def imported(tree: ast.AST) -> set[str]:
    """What a module imports: the modules, and the names from them."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
    return {part for name in found for part in (name, name.partition(".")[0])}


def keywords(tree: ast.AST) -> set[str]:
    """The arguments that are given by name, as written: `shell=True`; also those of a dictionary, as `"shell": True`."""
    found = {
        f"{node.arg}={ast.unparse(node.value)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            found |= {
                f"{key.value}={ast.unparse(value)}"
                for key, value in pairs
                if isinstance(key, ast.Constant)
            }
    return found


def test_no_module_runs_text_or_loads_pickles():
    for file in SOURCES:
        tree = ast.parse(file.read_text())
        assert not called(tree) & (RUNS_CODE | LOADS), file
        assert not imported(tree) & UNPICKLES, file
        allowing = {text for text in keywords(tree) if text.partition("=")[0] in TRUSTS}
        assert all(text.endswith("=False") for text in allowing), (file, allowing)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import numpy, pickle as p", "pickle"),
        ("from joblib.numpy_pickle import load", "joblib"),
        ("x = [eval(y) for y in z]", "eval"),
        ("torch.load(f)", "torch.load"),
        ("load(f, **{'trust_remote_code': True})", "trust_remote_code=True"),
        ("load(f, trust_remote_code=yes)", "trust_remote_code=yes"),
    ],
)
def test_the_scan_sees(text, found):
    tree = ast.parse(text)
    assert found in called(tree) | imported(tree) | keywords(tree)


def test_classes_are_looked_up_by_name_in_one_place():
    places = {}
    for file in SOURCES:
        tree = ast.parse(file.read_text())
        if names := LOOKS_UP & (
            imported(tree) | {name.rpartition(".")[2] for name in called(tree)}
        ):
            places[file.relative_to(ROOT).as_posix()] = names
    assert places == {
        "posext/pe/__init__.py": {"get_class"},
        # names in tables of these files alone
        "posext/__init__.py": {"import_module"},
        "posext/__main__.py": {"import_module"},
        # the targets of the configs of this checkout
        "scripts/make_docs.py": {"get_class"},
    }


@pytest.fixture(scope="module")
def trained(small, tmp_path_factory):
    """The folder of a small run that is trained and measured."""
    from posext import train

    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(
            "sys.argv",
            ["train", "+pe=rope", *small, "steps=1", "context_lengths=[16]", "name=mine"],
        )
        train.main()
    return folder / "results/runs/mine"


@pytest.fixture
def received(trained):
    """A run as it comes from somebody else: a copy in the folder of the test."""
    return Path(shutil.copytree(trained, "received"))


def test_the_bomb_goes_off():
    pickle.loads(pickle.dumps(Bomb()))
    assert Path("owned").exists()


@pytest.mark.parametrize(
    "name", ["model.safetensors", "run.json", "config.yaml", "curves.csv", "documents.parquet"]
)
def test_a_pickle_in_a_run_is_not_loaded_when_it_is_measured_and_plotted(
    command, received, name, monkeypatch
):
    planted(received / name)
    code, _, err = command("evaluate", f"run={received}", "tracking.wandb=disabled")
    assert (code, name in err) == (2, True)
    for script in ("compare", "plot_curves", "make_table", "search_longrope"):
        monkeypatch.setattr("sys.argv", [script, str(received)])
        with suppress(SystemExit):
            runpy.run_path(str(ROOT / "scripts" / f"{script}.py"), run_name="__main__")
    assert not Path("owned").exists()


def test_a_pickle_among_checkpoints_is_not_loaded(command, small):
    for name in (
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
        "optimizer.pt",
        "random_states_0.pkl",
    ):
        planted(Path("results/runs/mine/checkpoints/step-00000001") / name)
    code, _, err = command("train", "+pe=rope", *small, "steps=2", "evaluate=false", "name=mine")
    assert (code, "damaged checkpoint" in err) == (0, True), err
    assert not Path("owned").exists()


@pytest.mark.parametrize("name", ["text.jsonl", "text.parquet", "text.txt"])
def test_a_pickle_as_a_corpus_is_refused(name):
    planted(Path(name))
    with pytest.raises(ValueError, match=name):
        list(documents(DataConfig(source="text", path=name)))
    assert not Path("owned").exists()


def test_a_pickle_as_a_tokenizer_is_refused():
    planted(Path("folder/tokenizer.json"))
    with pytest.raises(ValueError, match=r"data\.tokenizer='folder' is neither"):
        make("folder", 300, iter(()))
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    "path", ["pandas", "../folder", "/etc", "folder/inside", "https://host/data", "a/b/c", ""]
)
def test_only_an_owner_and_a_name_are_asked_of_the_hub(path):
    """`pandas` is a loader of datasets that unpickles what lies in the working folder."""
    planted(Path("train.pkl"))
    Path("folder/inside").mkdir(parents=True)
    with pytest.raises(ValueError, match="is no id on the hub, OWNER/NAME"):
        list(documents(DataConfig(source="hub", path=path)))
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    "kind", ["../tokenizer", "/etc/passwd2", "a/b/c", "https://host/tokenizer", "~/none", "my.json"]
)
def test_what_could_not_be_an_id_is_not_asked_of_the_hub(kind, monkeypatch):
    monkeypatch.setattr(
        "tokenizers.Tokenizer.from_pretrained", lambda kind: pytest.fail(f"asked for {kind}")
    )
    with pytest.raises(ValueError, match="is neither bpe, bytes, a tokenizer"):
        make(kind, 300, iter(()))


FOREIGN = {
    "os.system": "it lies outside posext",
    "subprocess.Popen": "it lies outside posext",
    "posextra.Scheme": "it lies outside posext",
    "posext.runs.run.subprocess.Popen": "it is no",
}


@pytest.mark.parametrize("target", FOREIGN)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pe", "pe: {{_target_: {}, name: rope, command: touch owned}}"),
        ("window", "window: {{_target_: {}, name: window, args: [touch, owned]}}"),
        (
            "pe",
            "pe: {{_target_: posext.pe.layers.Layers, name: irope, layers: [{{pe: rope, _target_: {}}}]}}",
        ),
    ],
    ids=["scheme", "axis", "layer"],
)
def test_a_strangers_target_is_refused_though_the_config_allows_it(
    received, key, value, target, monkeypatch
):
    rewrite(received, key, value.format(target))
    rewrite(received, "own_modules", "own_modules: [os, subprocess, posextra]")
    scheme = "from pathlib import Path\nfrom posext.pe.base import *\nPath('owned').touch()\n"
    Path("posextra.py").write_text(scheme + "class Scheme(PositionalEncoding, Axis): pass\n")
    monkeypatch.syspath_prepend(Path.cwd())
    with pytest.raises(
        ValueError, match=f"_target_ '{re.escape(target)}' is refused: {FOREIGN[target]}"
    ):
        load_run(received).scheme()
    assert not Path("owned").exists()


INTERPOLATIONS = [
    "${oc.env:SECRET}",
    "${oc.decode:1}",
    "${.name}",
    "a${oc.env:SECRET,b}",
    "\\x24{oc.env:SECRET}",
    "${steps}",
]


@pytest.mark.parametrize(
    ("place", "text"),
    [("study: {}", text) for text in INTERPOLATIONS]
    + [
        (place, INTERPOLATIONS[0])
        for place in ("data: {{source: text, path: {}}}", "own_modules: [{}]", "steps: {}")
    ],
)
def test_a_strangers_interpolation_is_refused(received, place, text, monkeypatch):
    monkeypatch.setenv("SECRET", "hidden")
    rewrite(received, place.partition(":")[0], place.format(f'"{text}"'))
    with pytest.raises(ValueError, match="is refused: it holds an interpolation") as refused:
        load_run(received)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system [touch owned]", "!!python/name:os.system"]
)
def test_a_strangers_python_tag_is_refused(received, tag):
    rewrite(received, "study", f"study: {tag}")
    with pytest.raises(ValueError, match="is no config of a run: it cannot be read"):
        load_run(received)
    assert not Path("owned").exists()


def rewrite(run: Path, key: str, text: str) -> None:
    """Replace one section of a run's config."""
    config = (run / "config.yaml").read_text()
    changed, count = re.subn(
        rf"^{key}:.*\n(?:[ -].*\n)*", lambda _: f"{text}\n", config, flags=re.MULTILINE
    )
    assert count == 1
    (run / "config.yaml").write_text(changed)


OUTSIDE = [
    "..",
    "../mine",
    "/tmp/mine",
    "a/b",
    "a\\b",
    ".hidden",
    "mine\n",
    "",
    "~",
    "-rf",
    "n" * 201,
    "a\0b",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_could_leave_the_folder_of_runs_is_refused(name):
    with pytest.raises(ValueError, match="name must be at most 200 letters, digits"):
        config(name).check()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["steps", "data.path", "pe.base", "+model.path"]), st.text()),
        max_size=4,
    ),
    st.text(),
)
def test_a_name_that_is_made_lies_within_the_folder_of_runs(typed, model):
    made = config(None)
    made.model.name = model
    made.name = name_of(made, [f"{key}={value}" for key, value in typed])
    made.check()
    assert prepare_run(made, write=False).folder.resolve().parent == Path("results/runs").resolve()


def config(name: str | None) -> TrainConfig:
    model = ModelConfig("tiny", n_layers=1, n_heads=2, d_model=16, d_ff=16, learning_rate=0.1)
    scheme = {"name": "rope", "_target_": "posext.pe.rope.RoPE"}
    data = DataConfig(source="python")
    return TrainConfig(pe=scheme, model=model, data=data, learning_rate=0.1, name=name)
