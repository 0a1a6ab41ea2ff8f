"""Remedies of the command line: what an error proposes is applied, and the job runs.

The messages about data are in `tests/pipelines/sources/test_remedies.py`; what moved images
need is applied in `test_model_commands.py`.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pipelines.cli.main import run_command
from pipelines.serving.run import Run
from tests.support.remedies import find_sites, proposed_settings
from tests.support.tiny import write_images

pytestmark = pytest.mark.train

BASE = {
    "backbone.name": "micro_resnet_s",
    "backbone.frozen": "true",
    "input.size": "32",
    "train.epochs": "1",
    "augment.policy": "none",
    "penalty.name": "none",
    "optimizer.name": "adam",
}

SETTINGS = {
    "an optimizer without proximal step": (
        ["optimizer.name=lion", "penalty.name=l1"],
        "an L1 penalty could hold no weight at 0",
    ),
    "averaged weights and L1": (["optimizer.ema=0.9", "penalty.name=l1"], "undoes L1"),
    "a warm-up of ftrl": (
        ["optimizer.name=ftrl", "schedule.name=cosine", "schedule.warmup=0.2"],
        "ftrl divides by the learning rate",
    ),
    "a schedule beyond early stopping": (
        ["schedule.name=reduce_on_plateau", "schedule.patience=5", "stopping.patience=5"],
        "training stops before the schedule",
    ),
    "images too small": (["input.size=8"], "input.size is too small"),
    "batches of one image": (
        ["input.batch_size=1", "head.hidden=[4]", "head.batch_norm=true"],
        "batch normalization subtracts",
    ),
    "blocks of a backbone that trains": (
        ["backbone.frozen=false", "fine_tune.blocks=1"],
        "fine_tune.blocks unfreezes",
    ),
    "maps without features": (
        ["features.use=false", "fine_tune.blocks=1", "fine_tune.maps=float16"],
        "fine_tune.maps needs features of single images",
    ),
    "maps below all blocks": (
        ["fine_tune.blocks=10", "fine_tune.epochs=1", "fine_tune.maps=float32"],
        "has nothing below its top 10 blocks",
    ),
    "more blocks than there are": (["fine_tune.blocks=99", "fine_tune.epochs=1"], "blocks"),
    "a schedule without validation": (
        ["train.with_validation=true", "schedule.name=reduce_on_plateau", "stopping.patience=0"],
        "needs a validation loss",
    ),
    "folds of a head with hidden layers": (
        ["train.folds=3", "head.hidden=[4]"],
        "train.folds takes the mean of linear heads",
    ),
    "folds below a backbone that changes": (
        ["train.folds=3", "fine_tune.blocks=1", "fine_tune.epochs=1"],
        "train.folds takes the mean of linear heads",
    ),
    "features of a backbone that trains": (
        ["backbone.frozen=false", "features.use=true"],
        "features need a frozen backbone",
    ),
    "features of blended images": (
        ["features.use=true", "augment.policy=mixup"],
        "features belong to one image each",
    ),
    "a step that never comes": (
        ["optimizer.accumulation_steps=99"],
        "batches ends before its first step",
    ),
    "blends of one image": (
        ["input.batch_size=1", "augment.policy=mixup", "features.use=false"],
        "blends images of a batch, and a batch has one",
    ),
    "pixels of another range": (
        ["backbone.name=micro_resnet_s.cifar10", "input.normalization=standardize"],
        "micro_resnet_s.cifar10",
    ),
    "a loss of a recipe with tasks": (
        ["tasks.label.kind=single_label", "train.loss=focal"],
        "train.loss concerns the one task",
    ),
    "class weights of a recipe with tasks": (
        ["tasks.label.kind=single_label", "train.class_weights=balanced"],
        "train.class_weights concerns the one task",
    ),
    "oversampling without classes": (
        ["tasks.label.kind=multi_label", "train.oversample=balanced"],
        "no task has any",
    ),
    "lbfgs for a hidden layer": (
        ["optimizer.name=lbfgs", "head.hidden=[4]"],
        "lbfgs",
    ),
    "accuracy of several tasks": (
        ["tasks.label.kind=single_label", "stopping.monitor=val_accuracy"],
        "no single accuracy to monitor",
    ),
    "unknown scores of several tasks": (
        ["tasks.label.kind=single_label", "unknown.method=neighbors"],
        "unknown scores are those of a plain classifier",
    ),
    "a value that does not fit": (["train.epochs=soon"], "train.epochs does not fit"),
}
"""Settings that a job refuses with a proposal of others, and a part of the message."""

TOGETHER = [
    (
        "an optimizer without proximal step",
        "images too small",
        "a step that never comes",
        "a value that does not fit",
    ),
    (
        "averaged weights and L1",
        "a schedule beyond early stopping",
        "features of blended images",
    ),
    (
        "a warm-up of ftrl",
        "folds below a backbone that changes",
        "more blocks than there are",
    ),
    ("blocks of a backbone that trains", "features of a backbone that trains"),
    ("batches of one image", "pixels of another range"),
    ("a schedule without validation", "blends of one image"),
    ("folds of a head with hidden layers", "lbfgs for a hidden layer"),
    (
        "a loss of a recipe with tasks",
        "class weights of a recipe with tasks",
        "accuracy of several tasks",
        "unknown scores of several tasks",
    ),
    ("oversampling without classes",),
    ("maps without features",),
    ("maps below all blocks",),
]
"""Settings that one recipe has together: each is refused once those before it are mended."""

FILL_IN = {"VALUE": "1"}
"""What a user writes for a word in capitals."""


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    """Runs a command; returns its exit status and what it wrote to standard error."""
    status = run_command([str(argument) for argument in arguments])
    return status, capsys.readouterr().err


def train(
    capsys: pytest.CaptureFixture[str], data: Path, out: Path, settings: list[str]
) -> tuple[int, str]:
    """Runs `zoo train` with settings over those of BASE."""
    given = [f"{path}={value}" for path, value in BASE.items()] + settings
    return run(capsys, "train", data, "--out", out, *(f"--set={text}" for text in given))


def test_every_refused_setting_is_in_one_recipe() -> None:
    assert sorted(name for names in TOGETHER for name in names) == sorted(SETTINGS)


@pytest.mark.parametrize("names", TOGETHER, ids=lambda names: names[0])
def test_proposed_settings_let_the_job_run(
    names: tuple[str, ...],
    tiny_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    refused = [setting for name in names for setting in SETTINGS[name][0]]
    seen: set[str] = set()
    number = most = 0
    # Every alternative is in a recipe that trains.
    while number <= most:
        settings, out = list(refused), tmp_path / f"run {number}"
        left = set(names)
        status, message = train(capsys, tiny_folder, out, settings)
        assert status == 2
        while status == 2:
            said = {name for name in left if SETTINGS[name][1] in message}
            assert said, message
            left -= said
            alternatives = proposed_settings(message)
            assert alternatives, message
            most = max(most, len(alternatives) - 1)
            for text in alternatives[min(number, len(alternatives) - 1)]:
                for word, value in FILL_IN.items():
                    text = re.sub(rf"\b{word}\b", value, text)
                settings.append(text)
            status, message = train(capsys, tiny_folder, out, settings)
        assert status == 0, message
        seen |= set(names) - left
        number += 1
    assert seen == set(names)


PRETRAINING = {
    "blended images": (["augment.policy=mixup"], "cannot restore two images"),
    "no accuracy": (["stopping.monitor=val_accuracy"], "no accuracy to monitor"),
}


def test_proposed_settings_let_pretraining_run(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["pretrain", tiny_folder, "--method", "autoencoder", "--backbone", "micro_resnet_s"]
    command += ["--out", tmp_path / "run", "--set=input.size=32", "--set=train.epochs=1"]
    command += [f"--set={text}" for settings, _ in PRETRAINING.values() for text in settings]
    left = {said for _, said in PRETRAINING.values()}
    status, message = run(capsys, *command)
    while left:
        assert status == 2
        (said,) = (part for part in left if part in message)
        left.remove(said)
        ((proposed,),) = proposed_settings(message)
        command.append(f"--set={proposed}")
        status, message = run(capsys, *command)
    assert status == 0, message


SMALL = ["--set=input.size=32", "--set=train.epochs=1", "--set=augment.policy=none"]


def apply(
    capsys: pytest.CaptureFixture[str],
    message: str,
    *,
    also: list[str] | None = None,
    **words: Path,
) -> tuple[int, str]:
    """Runs the command that ends a message.

    Args:
        capsys: Captures what it writes.
        message: What was said.
        also: Further arguments.
        words: What a user writes for a word in capitals.
    """
    proposed = message.rstrip().rpartition("zoo ")[2]
    arguments = [str(words.get(part, part)) for part in shlex.split(proposed)]
    return run(capsys, *arguments, *(also or []))


def test_run_that_exists_is_resumed_or_left_alone(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert train(capsys, tiny_folder, out, [])[0] == 0
    status, message = train(capsys, tiny_folder, out, [])
    assert status == 2
    assert "already holds a run; expected a new directory; add --resume" in message
    status, errors = run(capsys, "train", "--out", out, "--resume")
    assert status == 0, errors
    status, message = run(
        capsys, "train", "--out", out, "--resume", "--set", "head.input_dropout=0.1"
    )
    assert status == 2
    assert "leave these settings out to go on with its own, or choose another --out" in message
    assert run(capsys, "train", "--out", out, "--resume")[0] == 0
    (out / "model.keras").unlink()
    status, message = run(capsys, "evaluate", out, tiny_folder)
    assert status == 2
    status, errors = apply(capsys, message, DATA=tiny_folder, RUN=out)
    assert status == 0, errors
    assert run(capsys, "evaluate", out, tiny_folder)[0] == 0


def test_recipe_of_pretraining_names_its_command(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text("pretraining.method = 'autoencoder'\nstopping.monitor = 'val_loss'\n")
    status, message = run(capsys, "train", tiny_folder, "--out", tmp_path / "a", "--recipe", file)
    assert status == 2
    also = ["--backbone", "micro_resnet_s", *SMALL]
    status, errors = apply(
        capsys, message, DATA=tiny_folder, FILE=file, RUN=tmp_path / "b", also=also
    )
    assert status == 0, errors
    # What holds a backbone alone says how to make a classifier of it.
    status, message = run(capsys, "evaluate", tmp_path / "b", tiny_folder)
    assert status == 2
    status, errors = apply(capsys, message, DATA=tiny_folder, RUN=tmp_path / "c", also=SMALL)
    assert status == 0, errors


def test_data_is_named_as_proposed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, message = run(capsys, "train", "--out", "r")
    assert status == 2
    write_images(tmp_path / "photos", 4)
    also = ["--backbone", "micro_resnet_s", *SMALL]
    status, errors = apply(capsys, message, also=also)
    assert status == 0, errors


def test_model_of_ones_own_is_asked_without_key_or_trust(
    tiny_run: Run, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = next(tiny_folder.rglob("*.jpg"))
    command = ["predict", str(tiny_run.path), str(image)]
    status, message = run(capsys, *command, "--trust", "--verify", tmp_path / "key.pub")
    assert (status, "omit --trust" in message) == (2, True)
    status, message = run(capsys, *command, "--verify", tmp_path / "key.pub")
    assert (status, "omit --verify" in message) == (2, True)
    assert run(capsys, *command)[0] == 0


def test_studies_are_listed_as_proposed(capsys: pytest.CaptureFixture[str]) -> None:
    status, message = run(capsys, "study")
    assert (status, message.rstrip().endswith("zoo study --list shows all")) == (2, True)
    assert run(capsys, "study", "--list")[0] == 0


def test_help_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    status, message = run(capsys, "train", "--nonsense")
    assert status == 2
    assert message.rstrip().endswith("see `zoo --help`")
    assert run_command(["--help"]) == 0


TESTED = {
    "choose one of them, or --set penalty.name=l2", "--set optimizer.ema=0.0",
    "--set schedule.warmup=0.0", "--set stopping.patience={}", "--set input.size={} is its own",
    "--set head.batch_norm=false", "or --set fine_tune.blocks=0", "--set fine_tune.maps=auto",
    "--set schedule.name=exponential",
    "--set features.use=auto", "--set features.use=false", "or --set optimizer.name={}",
    "--set input.normalization=own", "--set augment.policy=photo", "accumulation_steps=",
    "set it by --set {}=VALUE", "--set train.oversample=none", "--set stopping.monitor=val_loss",
    "--set unknown.method=none", "--set train.folds=0",
    "--set train.{}={} --set tasks.{}.{}={}", "zoo train photos/ --out runs/photos",
    "see `zoo --help`", "--help", "add --resume to go on with it, or choose another --out",
    "leave these settings out to go on", "finish it: zoo train DATA --out RUN --resume",
    "train one on it: zoo train DATA --backbone {} --out RUN",
    "zoo pretrain DATA --recipe FILE --out RUN", "omit --trust", "omit --verify",
    "zoo study --list shows all",
}  # fmt: skip
"""Parts of the texts whose remedies the tests above apply."""

ELSEWHERE = {
    "zoo export {} --to {} --data DATA": "test_model_commands.py: the run that it exports",
    "give --data the images it was trained on": "test_model_commands.py: those of another set",
    "ZOO_DEBUG": "test_cli.py: with it, the error is raised",
    "--resume goes on from what is saved": "the tests of interruption.py",
    "--set does not understand its argument": "names the option",
    "--set {} does not fit": "names the option",
    "give --recipe an existing TOML file": "names the option",
    "zoo list {}": "prints the commands that list tables",
    "choose another --out": "test_run_folder.py: another folder is free",
    "leave --out alone": "says what not to do",
    "what `zoo features` wrote": "says what DATA may be",
    "leave --cluster out, or give --recipes": "test_train_all.py trains with either",
    "--cluster with --recipes": "says what goes together",
    "--recipes with --set": "says what goes together",
    "or by --set PATH=VALUE for all": "test_train_all.py: recipes that say it",
    "--quantize {}": "test_formats.py: a quantization that the format has",
    "--quantize float16": "test_export_all.py: what integers cannot have, it has",
    "--max-drop {}": "test_export_all.py: a number that is none of points",
    "zoo export {} --to … --format": "the command that a model card quotes",
    "--to saved_models/NAME": "test_export.py: such a folder is taken",
    "a directory that `zoo train --out` wrote": "says what is expected",
    "NAME or --all": "says what is expected",
    "--trust or --verify": "says what is expected",
    "an exported model, as --verify checks its signature": "says what is expected",
    "by `zoo export`": "says what is expected",
    "a model that `zoo export` wrote": "says what is expected",
    "--set train.loss=cross_entropy": "test_soft_targets.py: a teacher's probabilities",
    "leave --teacher out": "says what not to do",
    "add --port 0 to take a free one": "test_serve.py: a free one is found",
    "or add --token": "test_serve.py: with a token, other machines are served",
    "ZOO_SERVE_TOKEN": "the name of the variable",
    "--out": "the name of the option",
    "--to": "the name of the option",
}
"""Texts with an option or a command that propose none here, or are tested elsewhere."""


@pytest.mark.parametrize("room", ["cli", "recipe", "serving", "storage"])
def test_every_proposal_of_a_room_is_applied(room: str, root: Path) -> None:
    options = re.compile(r"--[a-z]|\bzoo [a-z]|ZOO_")
    unknown = [
        f"{site.file}:{site.line}: {site.text}"
        for site in find_sites(root / "pipelines" / room)
        if options.search(site.text)
        and not any(part in site.text for part in (*TESTED, *ELSEWHERE))
    ]
    assert not unknown
