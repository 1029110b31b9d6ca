"""Runs, configs and data sets of a stranger.

Nothing in them is run, looks up code or secrets, or is written outside its place.
"""

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

from posext.config import HubData, ModelConfig, PythonData, TextData, TrainConfig
from posext.data.corpus import documents
from posext.data.tokenizer import make
from posext.runs.naming import run_name
from posext.runs.run import load_run, prepare_run

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
TRUSTS = ("trust_remote_code", "allow_pickle", "shell")  # arguments that must be False
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
    """Unpickling this leaves a file called `owned`."""

    def __reduce__(self):
        return Path.touch, (Path("owned").absolute(),)


def plant(file: Path) -> None:
    """Write a pickle in the place of a file that is read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(pickle.dumps(Bomb()))


def calls(tree: ast.AST) -> set[str]:
    """The functions that a module calls, as written: `eval`, `torch.load`."""
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def imports(tree: ast.AST) -> set[str]:
    """The modules that a module imports, their packages, and the names from them."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
    return {part for name in names for part in (name, name.partition(".")[0])}


def keywords(tree: ast.AST) -> set[str]:
    """Arguments by name, as `shell=True`, and items of dictionaries, as `"shell": True`."""
    texts = {
        f"{node.arg}={ast.unparse(node.value)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            texts |= {
                f"{key.value}={ast.unparse(value)}"
                for key, value in pairs
                if isinstance(key, ast.Constant)
            }
    return texts


def test_sources_run_no_text_and_load_no_pickles():
    for file in SOURCES:
        tree = ast.parse(file.read_text())
        assert not calls(tree) & (RUNS_CODE | LOADS), file
        assert not imports(tree) & UNPICKLES, file
        allowing = {text for text in keywords(tree) if text.partition("=")[0] in TRUSTS}
        assert all(text.endswith("=False") for text in allowing), (file, allowing)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import numpy, pickle as p", "pickle"),
        ("from joblib.numpy_pickle import load", "joblib"),
        ("x = [eval(y) for y in z]", "eval"),
        ("torch.load(f)", "torch.load"),
        ("load(f, **{'trust_remote_code': True})", "trust_remote_code=True"),
        ("load(f, trust_remote_code=yes)", "trust_remote_code=yes"),
    ],
)
def test_scan_of_sources_sees_calls_imports_and_keywords(text, expected):
    tree = ast.parse(text)
    assert expected in calls(tree) | imports(tree) | keywords(tree)


def test_sources_look_up_classes_by_name_in_few_places():
    places = {}
    for file in SOURCES:
        tree = ast.parse(file.read_text())
        if names := LOOKS_UP & (imports(tree) | {name.rpartition(".")[2] for name in calls(tree)}):
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


def test_bomb_leaves_its_file():
    pickle.loads(pickle.dumps(Bomb()))
    assert Path("owned").exists()


@pytest.mark.parametrize(
    "name", ["model.safetensors", "run.json", "config.yaml", "curves.csv", "documents.parquet"]
)
def test_evaluate_and_scripts_load_no_pickle_in_a_run(command, received, name, monkeypatch):
    plant(received / name)
    code, _, err = command("evaluate", f"run={received}", "tracking.wandb=disabled")
    assert code == 2
    assert name in err
    for script in ("compare", "plot_curves", "make_table", "search_longrope"):
        monkeypatch.setattr("sys.argv", [script, str(received)])
        with suppress(SystemExit):
            runpy.run_path(str(ROOT / "scripts" / f"{script}.py"), run_name="__main__")
    assert not Path("owned").exists()


def test_resume_loads_no_pickle_in_a_checkpoint(command, small):
    for name in (
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
        "optimizer.pt",
        "random_states_0.pkl",
    ):
        plant(Path("results/runs/mine/checkpoints/step-00000001") / name)
    code, _, err = command("train", "+pe=rope", *small, "steps=2", "evaluate=false", "name=mine")
    assert code == 0, err
    assert "damaged checkpoint" in err
    assert not Path("owned").exists()


@pytest.mark.parametrize("name", ["text.jsonl", "text.parquet", "text.txt"])
def test_documents_refuse_a_pickle_as_a_corpus(name):
    plant(Path(name))
    with pytest.raises(ValueError, match=name):
        list(documents(TextData(path=name)))
    assert not Path("owned").exists()


def test_make_tokenizer_refuses_a_pickle():
    plant(Path("folder/tokenizer.json"))
    with pytest.raises(ValueError, match=r"data\.tokenizer='folder' is neither"):
        make("folder", 300, iter(()))
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    "path", ["pandas", "../folder", "/etc", "folder/inside", "https://host/data", "a/b/c", ""]
)
def test_documents_ask_the_hub_for_owner_and_name_alone(path):
    """The loader `pandas` of datasets would unpickle files of the working folder."""
    plant(Path("train.pkl"))
    Path("folder/inside").mkdir(parents=True)
    with pytest.raises(ValueError, match="is no id on the hub, OWNER/NAME"):
        list(documents(HubData(path=path)))
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    "kind", ["../tokenizer", "/etc/passwd2", "a/b/c", "https://host/tokenizer", "~/none", "my.json"]
)
def test_make_tokenizer_asks_the_hub_for_ids_alone(kind, monkeypatch):
    monkeypatch.setattr(
        "tokenizers.Tokenizer.from_pretrained", lambda kind: pytest.fail(f"asked for {kind}")
    )
    with pytest.raises(ValueError, match="is neither bpe, bytes, a tokenizer"):
        make(kind, 300, iter(()))


FOREIGN = {
    "os.system": "it lies outside posext",
    "subprocess.Popen": "it lies outside posext",
    "posextra.Scheme": "it lies outside posext",
    "posext.utils.commit.subprocess.Popen": "it is no",
}


@pytest.mark.parametrize("target", FOREIGN)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pe", "pe: {{_target_: {}, name: rope, command: touch owned}}"),
        ("window", "window: {{_target_: {}, name: window, args: [touch, owned]}}"),
        (
            "pe",
            "pe: {{_target_: posext.pe.layers.Layers, name: irope, "
            "layers: [{{pe: rope, _target_: {}}}]}}",
        ),
    ],
    ids=["scheme", "axis", "layer"],
)
def test_load_run_refuses_a_foreign_target(received, key, value, target, monkeypatch):
    """It does so even if the config names the module among its own_modules."""
    rewrite(received, key, value.format(target))
    rewrite(received, "own_modules", "own_modules: [os, subprocess, posextra]")
    scheme = "from pathlib import Path\nfrom posext.pe.base import *\nPath('owned').touch()\n"
    Path("posextra.py").write_text(scheme + "class Scheme(PositionalEncoding, Axis): pass\n")
    monkeypatch.syspath_prepend(Path.cwd())
    message = f"_target_ '{re.escape(target)}' is refused: {FOREIGN[target]}"
    with pytest.raises(ValueError, match=message):
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
def test_load_run_refuses_an_interpolation(received, place, text, monkeypatch):
    monkeypatch.setenv("SECRET", "hidden")
    rewrite(received, place.partition(":")[0], place.format(f'"{text}"'))
    with pytest.raises(ValueError, match="is refused: it holds an interpolation") as refused:
        load_run(received)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system [touch owned]", "!!python/name:os.system"]
)
def test_load_run_refuses_a_python_tag(received, tag):
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
def test_check_refuses_a_name_that_could_leave_the_folder(name):
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
def test_name_of_stays_within_the_folder_of_runs(typed, model):
    named = config(None)
    named.model.name = model
    named.name = run_name(named, [f"{key}={value}" for key, value in typed])
    named.check()
    folder = prepare_run(named, write=False).folder
    assert folder.resolve().parent == Path("results/runs").resolve()


def config(name: str | None) -> TrainConfig:
    model = ModelConfig("tiny", n_layers=1, n_heads=2, d_model=16, d_ff=16, learning_rate=0.1)
    scheme = {"name": "rope", "_target_": "posext.pe.rope.RoPE"}
    data = PythonData()
    return TrainConfig(pe=scheme, model=model, data=data, learning_rate=0.1, name=name)
