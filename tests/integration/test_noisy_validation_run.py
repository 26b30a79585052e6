"""A run whose classifier a noisy validation chooses: planned, charged once, kept for a resume, reported, verified."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from dpgen.accountants.rdp import RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, VALIDATION, Budget
from dpgen.config import Config
from dpgen.distributed import World
from dpgen.errors import ConfigError, DataError, ResumeError, UnknownName
from dpgen.evaluation.private_test import TestSplit
from dpgen.events import EpsilonDelta
from dpgen.mechanisms.noisy_maximum import NoisyMaximum
from dpgen.pipeline import execute, prepare, run
from dpgen.pipeline.folder import RunFolder
from dpgen.pipeline.scoring import Scoring
from dpgen.pipeline.validation import planned, validation_charge
from dpgen.record import TUNED_ON_PRIVATE, RunRecord
from dpgen.testing.processes import together
from dpgen.testing.toy import ToyGenerator, toy_images
from dpgen.testing.toy_run import CLASS_NAMES, toy_config, toy_registry
from dpgen.verification import verify

QUICK = ["evaluation.steps=5", "evaluation.feature_steps=2"]


def config(folder: Path, overrides: Sequence[str] = (), *, names: Sequence[str] = CLASS_NAMES) -> Config:
    """The toy run with a test split and 200 validation images, chosen among by a noisy validation."""
    path = folder / "validation.npz"
    if not path.exists():
        images, labels = toy_images(200, classes=len(CLASS_NAMES), seed=7)
        np.savez(path, images=images, labels=labels, class_names=np.array(names))
    noisy = [f"data.validation={path}", "evaluation.selection=noisy_validation", "evaluation.budget_share=0.05"]
    return toy_config(folder, [f"data.test={folder}/test.npz", *QUICK, *noisy, *overrides])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunRecord, RunFolder]:
    folder = tmp_path_factory.mktemp("noisy")
    return run(config(folder), registry=toy_registry()), RunFolder(folder / "run")


def test_the_charge_is_the_last_of_plan_ledger_and_record(finished: tuple[RunRecord, RunFolder]) -> None:
    record, folder = finished
    assert [charge.label for charge in record.plan.charges] == ["class-means", "refine", VALIDATION]
    assert record.charges == record.plan.charges
    event = record.plan[VALIDATION]
    assert isinstance(event, EpsilonDelta)
    assert event.delta == 0
    assert 0.3 < event.epsilon <= 0.05 * 8  # the noise has a whole scale, so the share is not used up
    assert record.guarantee.epsilon_upper <= 8
    lines = (folder.release / "ledger.jsonl").read_text().splitlines()
    assert [VALIDATION in line for line in lines].count(True) == 2, "once in the plan, once as a charge"


def test_what_was_chosen_is_what_is_reported_everywhere(finished: tuple[RunRecord, RunFolder]) -> None:
    record, folder = finished
    scores = json.loads(folder.scores.read_bytes())
    accuracy = next(score for score in scores["scores"] if score["name"] == "accuracy")
    assert record.selection is not None
    assert record.selection["charge"] == VALIDATION
    assert record.selection["chosen_on"] == "noisy validation on private images"
    assert record.selection["classifier"] == accuracy["measured_by"] == scores["selection"]["classifier"]
    assert RunRecord.read(folder.release).selection == record.selection
    released = (folder.release / "run.json").read_text() + (folder.release / "report.html").read_text()
    assert "private_test" not in released, "no score on private images is in the release"
    assert VALIDATION in (folder.release / "report.html").read_text()


def test_a_verifier_passes_it_and_no_altered_one(finished: tuple[RunRecord, RunFolder], tmp_path: Path) -> None:
    folder = finished[1]
    assert verify(folder.release).passed
    plain = json.loads((folder.release / "run.json").read_text())

    def facts(**changed: object) -> bool:
        path = tmp_path / "other.json"
        path.write_text(json.dumps(plain | changed))
        return next(check.passed for check in verify(path).checks if check.name == "facts")

    assert facts()
    evaluation = plain["config"]["evaluation"]
    free = plain["config"] | {"evaluation": evaluation | {"selection": "held_out_synthetic"}}
    assert not facts(config=free), "a planned choice that the configuration does not have"
    small = plain["config"] | {"evaluation": evaluation | {"budget_share": 0.001}}
    assert not facts(config=small), "a charge above its share"
    assert not facts(selection=plain["selection"] | {"charge": None}), "a choice on something else than was charged"
    plan = plain["plan"] | {"charges": plain["plan"]["charges"][:-1]}
    assert not facts(plan=plan, charges=plain["charges"][:-1]), "a choice that nothing was charged for"


def stopped_at_the_test_split(folder: Path) -> None:
    """A run that was killed after the choice."""

    def stopped(self: TestSplit, *classifiers: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TestSplit, "open", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(config(folder), registry=toy_registry())


def test_a_stopped_run_keeps_the_answer_and_asks_no_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, honest = [], NoisyMaximum._measure

    def counted(self: NoisyMaximum, *arguments: object, **options: object) -> object:
        answers.append(honest(self, *arguments, **options))  # type: ignore[arg-type]
        return answers[-1]

    monkeypatch.setattr(NoisyMaximum, "_measure", counted)
    stopped_at_the_test_split(tmp_path)
    record = run(config(tmp_path), registry=toy_registry(), resume=True)
    assert len(answers) == 1
    assert [charge.label for charge in record.charges].count(VALIDATION) == 1
    assert verify(tmp_path / "run").passed


def test_a_resumed_run_with_other_validation_images_is_refused(tmp_path: Path) -> None:
    """The same noise on two versions of the images would tell them apart."""
    stopped_at_the_test_split(tmp_path)
    images, labels = toy_images(199, classes=len(CLASS_NAMES), seed=7)
    np.savez(tmp_path / "validation.npz", images=images, labels=labels, class_names=np.array(CLASS_NAMES))
    with pytest.raises(ResumeError, match="private data"):
        run(config(tmp_path), registry=toy_registry(), resume=True)


def on_one_of_several(world: World, folder: str) -> tuple[str, list[str]]:
    """What a process of a run finds in its record; the first one alone has the validation images."""
    registry = toy_registry()
    record = execute(prepare(config(Path(folder)), registry), registry=registry, world=world)
    assert record.selection is not None
    return record.selection["classifier"], [charge.label for charge in record.charges]


def test_two_processes_make_one_choice_for_one_charge(tmp_path: Path) -> None:
    config(tmp_path)  # writes the images
    first, second = (outcome.value for outcome in together(2, on_one_of_several, str(tmp_path)))
    assert first == second is not None
    assert first[1].count(VALIDATION) == 1
    assert verify(tmp_path / "run").passed


@pytest.mark.parametrize(
    ("changed", "mend"),
    [
        ("evaluation.selection=held_out_synthetic", "leave data.validation out"),
        ("evaluation.enabled=false", "data.test, evaluation.enabled"),
    ],
)
def test_half_of_a_noisy_validation_is_refused_before_anything(tmp_path: Path, changed: str, mend: str) -> None:
    with pytest.raises(ConfigError, match=mend):
        run(config(tmp_path, [changed]), registry=toy_registry())
    assert not (tmp_path / "run").exists()


def test_no_validation_images_and_other_classes_are_refused(tmp_path: Path) -> None:
    lacking = ["evaluation.selection=noisy_validation", f"data.test={tmp_path}/test.npz"]
    with pytest.raises(ConfigError, match=r"data\.validation"):
        prepare(toy_config(tmp_path, lacking), toy_registry())
    with pytest.raises(ConfigError, match=r"expected the classes of data\.private"):
        run(config(tmp_path, names=("low", "middle", "top")), registry=toy_registry())


def plan_of(generator: ToyGenerator, config: Config, budget: Budget) -> float:
    """The noise multiplier of the class means."""
    prepared = prepare(config, toy_registry())
    charge = validation_charge(config.evaluation, budget)
    event = planned(generator, prepared.task, budget, RdpAccountant(), charge)["class-means"]
    return float(event.noise_multiplier)  # type: ignore[attr-defined]


@pytest.mark.parametrize("relation", [ADD_OR_REMOVE_ONE, REPLACE_ONE])
def test_the_other_noise_grows_by_less_than_basic_composition_asks(tmp_path: Path, relation: str) -> None:
    given = config(tmp_path, [f"privacy.relation={relation}"])
    budget = Budget(8.0, 1e-4, relation)  # type: ignore[arg-type]
    charge = validation_charge(given.evaluation, budget)
    assert charge is not None
    moves = 2 if relation is REPLACE_ONE else 1
    assert charge.event.epsilon == pytest.approx(moves / np.ceil(moves / 0.4))  # type: ignore[attr-defined]
    plain = plan_of(ToyGenerator(), toy_config(tmp_path, [f"privacy.relation={relation}"]), budget)
    basic = plan_of(
        ToyGenerator(),
        toy_config(tmp_path, [f"privacy.relation={relation}"]),
        Budget(8.0 - charge.event.epsilon, 1e-4, relation),  # type: ignore[attr-defined, arg-type]
    )
    assert plain < plan_of(ToyGenerator(), given, budget) < basic


def test_a_large_share_still_fits_as_a_whole(tmp_path: Path) -> None:
    prepared = prepare(config(tmp_path, ["evaluation.budget_share=0.9"]), toy_registry())
    assert prepared.prices[-1].label == VALIDATION
    assert 7 < prepared.prices[-1].cumulative_epsilon <= 8
    assert [charge.label for charge in prepared.fitting.charges] == ["class-means", "refine"]


# The settings of [evaluation] are checked before anything is charged, and kept with the scores.


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ('evaluation.metrics=["acuracy"]', UnknownName),
        ("evaluation.extractor=public_cn", UnknownName),
        ('evaluation.classifiers=["resnt"]', UnknownName),
        ("evaluation.extractor=efficientnet_lite0", ConfigError),
        ("evaluation.weights=somewhere.pt", ConfigError),
        ("evaluation.metrics=[]", ConfigError),
        ("run.count=4", ConfigError),
    ],
)
def test_wrong_settings_are_refused_before_anything(tmp_path: Path, changed: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        run(config(tmp_path, [changed]), registry=toy_registry())
    assert not (tmp_path / "run").exists()


def test_too_few_test_images_are_refused_before_anything_is_charged(tmp_path: Path) -> None:
    given = config(tmp_path)
    images, labels = toy_images(4, classes=len(CLASS_NAMES), seed=2)
    np.savez(tmp_path / "test.npz", images=images, labels=labels, class_names=np.array(CLASS_NAMES))
    with pytest.raises(DataError, match="precision_recall: expected at least 5 real test images; found fewer"):
        run(given, registry=toy_registry())
    assert not RunFolder(tmp_path / "run").begun


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with the memorisation check, two seeds, the diagnostic and a stated tuning."""
    folder = tmp_path_factory.mktemp("checked")
    wanted = ['evaluation.metrics=["accuracy", "memorisation"]', "evaluation.seeds=2", "evaluation.diagnostics=true"]
    given = toy_config(folder, [f"data.test={folder}/test.npz", *QUICK, *wanted, "evaluation.tuning=uncharged"])
    run(given, registry=toy_registry())
    return RunFolder(folder / "run")


def test_the_memorisation_check_stays_in_the_internal_copy(checked: RunFolder) -> None:
    scores = {score["name"]: score for score in json.loads(checked.scores.read_bytes())["scores"]}
    found = scores["memorisation"]
    assert found["touched"] == "private_train"
    assert found["details"]["training_images"] == 300
    assert "memorisation" in checked.report.read_text()
    number = f"{found['value']:.4g}"
    for path in checked.release.rglob("*"):
        if path.suffix in (".html", ".md", ".jsonl"):
            assert "private_train" not in path.read_text(), path
            assert f"<td>{number}</td>" not in path.read_text(), path
    released = json.loads((checked.release / "run.json").read_text())
    released.pop("config")  # which says that it was asked for
    assert "memorisation" not in json.dumps(released)


def test_training_images_are_handed_over_only_where_a_score_looks_for_copies(tmp_path: Path) -> None:
    plain = prepare(toy_config(tmp_path, [f"data.test={tmp_path}/test.npz"]), toy_registry())
    assert isinstance(plain.scoring, Scoring)
    assert not plain.scoring.needs_training
    copies = ['evaluation.metrics=["memorisation"]', f"data.test={tmp_path}/test.npz"]
    assert prepare(toy_config(tmp_path, copies), toy_registry()).scoring.needs_training


def test_best_on_the_test_set_is_a_labelled_diagnostic(checked: RunFolder) -> None:
    data = json.loads(checked.scores.read_bytes())
    scores = {score["name"]: score for score in data["scores"]}
    diagnostic = scores["diagnostic_best_on_private_test"]
    assert "not a result" in diagnostic["details"]["diagnostic"]
    assert scores["accuracy"]["measured_by"] == data["selection"]["classifier"]
    assert data["selection"]["seeds"] == 2
    assert len(scores["accuracy_over_trainings"]["details"]["trainings"]) == 2
    assert data["images"]["test"] == {"images": 60, "by_class": dict.fromkeys(CLASS_NAMES, 20)}
    assert data["images"]["synthetic"]["images"] == 30
    assert data["images"]["training"] == {"images": 300}


def test_tuning_on_private_data_is_a_caveat_that_a_verifier_asks_for(checked: RunFolder, tmp_path: Path) -> None:
    record = RunRecord.read(checked.release)
    assert TUNED_ON_PRIVATE in record.guarantee.caveats
    assert verify(checked.release).passed
    plain = record.to_json()
    plain["guarantee"]["caveats"].remove(TUNED_ON_PRIVATE)
    (tmp_path / "other.json").write_text(json.dumps(plain))
    assert [check.passed for check in verify(tmp_path / "other.json").checks if check.name == "caveats"] == [False]
