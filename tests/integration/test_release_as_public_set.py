"""Runs whose public set is the release of an earlier run: what that one cost is part of what they cost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from dpgen.accountants.rdp.accountant import RdpAccountant
from dpgen.budget import EARLIER_RELEASE
from dpgen.config import Config, from_toml
from dpgen.errors import BudgetExceeded, ConfigError, DpgenError, ResumeError, StorageError
from dpgen.events import Composed
from dpgen.ledger import read_ledger
from dpgen.mechanisms import SilentProgress
from dpgen.noise import SeededNoise
from dpgen.pipeline import Prepared, prepare, run
from dpgen.pipeline.pretraining import pretrain
from dpgen.pipeline.released import load_released, require_writable, write_samples
from dpgen.pipeline.sampling import sample as draw_sample
from dpgen.record import EARLIER_RELEASE_SEEN, OTHER_RECORDS, TUNED_ON_PRIVATE, RunRecord
from dpgen.testing.toy_run import toy_config, toy_registry
from dpgen.verification import verify

EPSILON = 2.0
"""Of the earlier run; the later one has 8."""


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of the earlier run."""
    folder = tmp_path_factory.mktemp("earlier")
    run(toy_config(folder, [f"privacy.epsilon={EPSILON}", "run.name=first"]), registry=toy_registry())
    return folder / "run" / "release"


def later(folder: Path, public: Path, *overrides: str) -> Config:
    return toy_config(folder, ["run.name=second", f"data.public={public}", *overrides])


def planned(folder: Path, public: Path, *overrides: str) -> Prepared:
    return prepare(later(folder, public, *overrides), toy_registry())


def labels(prepared: Prepared) -> list[str]:
    return [charge.label for charge in prepared.plan.charges]


def images(release: Path) -> Path:
    return release / "synthetic" / "train.parquet"


def test_the_budget_covers_the_earlier_release_and_the_noise_is_what_that_leaves(release: Path, tmp_path: Path) -> None:
    first = RunRecord.read(release)
    ordinary = planned(tmp_path, tmp_path / "public.npz")
    both = planned(tmp_path, images(release))
    assert labels(both) == [EARLIER_RELEASE, *labels(ordinary)]
    assert both.plan[EARLIER_RELEASE] == first.plan.event
    assert both.fitting.charges == both.plan.charges[1:]
    whole = Composed((first.plan.event, both.fitting.event))
    price = RdpAccountant().epsilon(whole, delta=both.budget.delta, relation=both.budget.relation).upper
    assert 7.9 < price <= 8.0, "both together take the budget, and no part of it is set aside for nothing"
    without = RdpAccountant().epsilon(
        Composed((first.plan.event, ordinary.plan.event)), delta=both.budget.delta, relation=both.budget.relation
    )
    assert without.upper > 8.0, "the twin that takes the release for free spends more than it says"


def linked(release: Path, folder: Path) -> str:
    """The file alone is linked to: its record is where the link leads."""
    (folder / "link.parquet").symlink_to(images(release))
    return str(folder / "link.parquet")


def stored_elsewhere(release: Path, folder: Path) -> str:
    """The links lie as in the release, and what they lead to in one folder of blobs, as a download cache has it."""
    (folder / "blobs").mkdir()
    (folder / "snapshot" / "synthetic").mkdir(parents=True)
    for name, blob in (("synthetic/train.parquet", "a.parquet"), ("run.json", "b")):
        (folder / "blobs" / blob).write_bytes((release / name).read_bytes())
        (folder / "snapshot" / name).symlink_to(folder / "blobs" / blob)
    return str(images(folder / "snapshot"))


def pattern(release: Path, folder: Path) -> str:
    (folder / "train-0.parquet").symlink_to(images(release))
    return str(folder / "train-*.parquet")


def from_home(release: Path, folder: Path) -> str:
    return "~/synthetic/train.parquet"


def relative(release: Path, folder: Path) -> str:
    return "synthetic/train.parquet"


@pytest.mark.parametrize("cut", ["", "[:6]", "[:6][:5]"])
@pytest.mark.parametrize("spelt", [linked, stored_elsewhere, pattern, from_home, relative])
def test_wherever_and_however_it_is_spelt(
    spelt: Callable[[Path, Path], str], cut: str, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(release))
    monkeypatch.chdir(release)
    data = later(tmp_path, Path(spelt(release, tmp_path) + cut))
    assert labels(prepare(data, toy_registry()))[0] == EARLIER_RELEASE


def test_a_folder_of_class_folders_is_one_too(tmp_path: Path) -> None:
    run(toy_config(tmp_path, ["run.format=imagefolder", "privacy.epsilon=2"]), registry=toy_registry())
    released = tmp_path / "run" / "release" / "synthetic"
    pictures = next(folder for folder in (released / "train", released) if folder.is_dir())
    assert labels(planned(tmp_path, pictures))[0] == EARLIER_RELEASE


def test_a_registered_name_is_no_path(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(release)
    (release.parent / "digits").mkdir(exist_ok=True)
    assert EARLIER_RELEASE not in labels(planned(tmp_path, Path("glyphs"), "data.size=8"))


def test_images_drawn_from_it_later_bring_its_record_along(release: Path, tmp_path: Path) -> None:
    generator, task = load_released(release, toy_registry())
    made = draw_sample(generator, task, 12, labels=None, seed=1)
    path, _ = write_samples(made, tmp_path / "more", "parquet", source=release)
    assert planned(tmp_path, path).plan[EARLIER_RELEASE] == RunRecord.read(release).plan.event


def test_no_image_is_drawn_of_a_release_that_lost_its_record(release: Path, tmp_path: Path) -> None:
    lost = tmp_path / "lost"
    shutil.copytree(release, lost)
    (lost / "run.json").unlink()
    with pytest.raises(StorageError, match=r"expected the record run\.json"):
        require_writable(tmp_path / "more", source=lost)
    assert not (tmp_path / "more").exists()


def test_images_of_an_unfinished_run_are_no_release(release: Path, tmp_path: Path) -> None:
    staged = tmp_path / "internal" / "release.staging" / "synthetic"
    staged.mkdir(parents=True)
    (tmp_path / "internal" / "run.key").write_bytes(b"key")
    (staged / "train.parquet").write_bytes(images(release).read_bytes())
    with pytest.raises(ConfigError, match="unfinished"):
        planned(tmp_path, staged / "train.parquet")


def test_a_run_charges_it_first_and_says_so(release: Path, tmp_path: Path) -> None:
    record = run(later(tmp_path, images(release)), registry=toy_registry())
    assert [charge.label for charge in record.charges] == labels(planned(tmp_path, images(release)))
    assert EARLIER_RELEASE_SEEN in record.guarantee.caveats
    assert any("'first'" in note for note in record.plan.notes)
    assert verify(tmp_path / "run").passed
    third = planned(tmp_path, images(tmp_path / "run" / "release"), "privacy.epsilon=12")
    first, own = RunRecord.read(release), record.plan.charges[1:]
    whole = Composed((*(charge.event for charge in first.plan.charges), *(charge.event for charge in own)))
    assert third.plan[EARLIER_RELEASE] == whole, "with the release that this one was made from, side by side"


def test_what_must_be_said_beside_the_first_guarantee_is_said_beside_the_second(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    run(toy_config(tmp_path / "a", ["privacy.epsilon=2", "evaluation.tuning=uncharged"]), registry=toy_registry())
    record = run(later(tmp_path, images(tmp_path / "a" / "run" / "release")), registry=toy_registry())
    assert TUNED_ON_PRIVATE in record.guarantee.caveats


def quiet(data: dict[str, Any]) -> str:
    data["guarantee"]["caveats"].remove(EARLIER_RELEASE_SEEN)
    return "caveats"


def waived_afterwards(data: dict[str, Any]) -> str:
    data["config"]["data"]["public_release"] = "other_records"
    return "facts"


@pytest.mark.parametrize("change", [quiet, waived_afterwards])
def test_a_record_that_keeps_quiet_about_it_is_refused(
    change: Callable[[dict[str, Any]], str], release: Path, tmp_path: Path
) -> None:
    run(later(tmp_path, images(release)), registry=toy_registry())
    path = tmp_path / "run" / "release" / "run.json"
    data = json.loads(path.read_text())
    refused = change(data)
    path.write_text(json.dumps(data))
    assert refused in {check.name for check in verify(path).checks if not check.passed}


def test_another_release_at_the_same_place_does_not_go_on(release: Path, tmp_path: Path) -> None:
    settings = later(tmp_path, altered(release, tmp_path, dict))
    with pytest.raises(KeyboardInterrupt):
        run(settings, registry=toy_registry(), progress=Stopped())
    record = tmp_path / "run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"seeds": {"run": 7}}))
    with pytest.raises(ResumeError):
        run(settings, registry=toy_registry(), resume=True)


PERSONS = ("data.unit=person", "data.max_images_per_person=3")


def test_a_person_is_protected_in_both_runs_or_the_later_one_is_refused(release: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="persons"):
        planned(tmp_path, images(release), *PERSONS)
    person = {"unit": "person", "max_images_per_person": 3}
    public = altered(release, tmp_path, lambda data: data | {"data": data["data"] | person})
    both = planned(tmp_path, public, *PERSONS)
    assert both.group is not None
    assert both.group[0] == pytest.approx(3 * both.prices[-1].cumulative_epsilon)
    with pytest.raises(ConfigError, match="persons"):
        planned(tmp_path, public, "data.unit=person", "data.max_images_per_person=2")


class Stopped(SilentProgress):
    """The process dies where the generator begins to train."""

    def track(self, phase: str, total: int):  # type: ignore[no-untyped-def]
        raise KeyboardInterrupt


def test_a_run_that_was_stopped_counts_it_once(release: Path, tmp_path: Path) -> None:
    settings = later(tmp_path, images(release))
    with pytest.raises(KeyboardInterrupt):
        run(settings, registry=toy_registry(), progress=Stopped())
    charged = read_ledger(tmp_path / "run" / "internal" / "ledger.jsonl").charges
    assert charged[0].label == EARLIER_RELEASE
    record = run(settings, registry=toy_registry(), resume=True)
    assert [charge.label for charge in record.charges].count(EARLIER_RELEASE) == 1


def test_images_of_other_records_add_nothing(release: Path, tmp_path: Path) -> None:
    ordinary = planned(tmp_path, tmp_path / "public.npz")
    apart = planned(tmp_path, images(release), "data.public_release=other_records")
    assert apart.plan == ordinary.plan
    record = run(apart.config, registry=toy_registry())
    assert OTHER_RECORDS in record.guarantee.caveats, "it is the owner's word, and the record says so"
    assert verify(tmp_path / "run").passed


def altered(release: Path, folder: Path, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> Path:
    """The images of `release` beside another record."""
    (folder / "synthetic").mkdir()
    images(folder).write_bytes(images(release).read_bytes())
    (folder / "run.json").write_text(json.dumps(change(json.loads((release / "run.json").read_text()))))
    return images(folder)


@pytest.mark.parametrize(
    ("change", "said", "error"),
    [
        (lambda data: data | {"private": False}, "test double", ConfigError),
        (lambda data: data | {"budget": data["budget"] | {"relation": "replace_one"}}, "relation", ConfigError),
        (lambda data: {"guarantee": 1}, "public_release", StorageError),
    ],
)
def test_what_cannot_be_added_up_is_refused(
    change: Callable[[dict[str, Any]], Mapping[str, Any]],
    said: str,
    error: type[DpgenError],
    release: Path,
    tmp_path: Path,
) -> None:
    with pytest.raises(error, match=said):
        planned(tmp_path, altered(release, tmp_path, change))


def test_a_torn_record_is_refused(release: Path, tmp_path: Path) -> None:
    public = altered(release, tmp_path, dict)
    (tmp_path / "run.json").write_bytes((release / "run.json").read_bytes()[:100])
    with pytest.raises(StorageError):
        planned(tmp_path, public)


def test_counted_classes_fit_beside_it(release: Path, tmp_path: Path) -> None:
    both = planned(tmp_path, images(release), "labels.prior=counted")
    assert labels(both)[:2] == [EARLIER_RELEASE, "class-counts"]
    assert both.fitting.charges == both.plan.charges[2:]
    assert 7.9 < both.prices[-1].cumulative_epsilon <= 8.0


@pytest.mark.parametrize("content", ['{"name": "a build"}', "[1]", "null", '"guarantee"'])
def test_a_record_of_something_else_is_no_release(content: str, release: Path, tmp_path: Path) -> None:
    public = altered(release, tmp_path, dict)
    (tmp_path / "run.json").write_text(content)
    assert EARLIER_RELEASE not in labels(planned(tmp_path, public))


def test_an_unreadable_one_gives_way_to_the_owner_s_word(release: Path, tmp_path: Path) -> None:
    public = altered(release, tmp_path, dict)
    (tmp_path / "run.json").write_text('{"guarantee": NaN}')
    with pytest.raises(StorageError, match="other_records"):
        planned(tmp_path, public)
    assert EARLIER_RELEASE not in labels(planned(tmp_path, public, "data.public_release=other_records"))


def test_a_budget_that_the_release_alone_exceeds_is_refused(release: Path, tmp_path: Path) -> None:
    with pytest.raises(BudgetExceeded, match=EARLIER_RELEASE):
        planned(tmp_path, images(release), "privacy.epsilon=1")


PRETRAINING = """
[privacy]
epsilon = 8.0
[data]
private = "absent.npz"
public = "{public}"
size = 8
channels = 1
{more}
[method]
name = "pdp_diffusion"
network = {{ base = 4, multipliers = [1, 2] }}
pretrain = {{ steps = 1, batch = 8 }}
[run]
name = "pretrained"
"""


def test_weights_learnt_from_a_release_outside_a_run_would_hide_its_cost(release: Path, tmp_path: Path) -> None:
    settings = from_toml(PRETRAINING.format(public=images(release), more=""))
    with pytest.raises(ConfigError, match="release of the run 'first'"):
        pretrain(settings, tmp_path / "weights", registry=toy_registry())
    waived = from_toml(PRETRAINING.format(public=images(release), more='public_release = "other_records"'))
    with pytest.raises(ConfigError, match="release of the run 'first'"):
        pretrain(waived, tmp_path / "weights", registry=toy_registry())


def test_a_release_of_a_test_double_is_told_by_its_record(tmp_path: Path) -> None:
    run(toy_config(tmp_path), registry=toy_registry(), noise=SeededNoise(0))
    with pytest.raises(ConfigError, match="test double"):
        planned(tmp_path, images(tmp_path / "run" / "release"))
