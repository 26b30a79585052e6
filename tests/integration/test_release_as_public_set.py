"""Runs whose public set is the release of an earlier run: what that one cost is part of what they cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from dpgen.accountants.rdp.accountant import RdpAccountant
from dpgen.budget import EARLIER_RELEASE
from dpgen.config import Config, from_toml
from dpgen.errors import BudgetExceeded, ConfigError, DpgenError, StorageError
from dpgen.events import Composed
from dpgen.ledger import read_ledger
from dpgen.mechanisms import SilentProgress
from dpgen.noise import SeededNoise
from dpgen.pipeline import Prepared, prepare, run
from dpgen.pipeline.pretraining import pretrain
from dpgen.record import EARLIER_RELEASE_SEEN, RunRecord
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


@pytest.mark.parametrize("place", [images, lambda release: release / "synthetic" / "train-*.parquet"])
def test_wherever_it_is_spelt(place: Callable[[Path], Path], release: Path, tmp_path: Path) -> None:
    (tmp_path / "synthetic").mkdir()
    (tmp_path / "synthetic" / "train-0.parquet").write_bytes(images(release).read_bytes())
    (tmp_path / "run.json").write_bytes((release / "run.json").read_bytes())
    found = release if place is images else tmp_path
    assert labels(planned(tmp_path, place(found)))[0] == EARLIER_RELEASE
    assert labels(planned(tmp_path, Path(f"{place(found)}[:6]")))[0] == EARLIER_RELEASE


def test_a_run_charges_it_first_and_says_so(release: Path, tmp_path: Path) -> None:
    record = run(later(tmp_path, images(release)), registry=toy_registry())
    assert [charge.label for charge in record.charges] == labels(planned(tmp_path, images(release)))
    assert EARLIER_RELEASE_SEEN in record.guarantee.caveats
    assert any("'first'" in note for note in record.plan.notes)
    assert verify(tmp_path / "run").passed
    third = planned(tmp_path, images(tmp_path / "run" / "release"), "privacy.epsilon=12")
    assert third.plan[EARLIER_RELEASE] == record.plan.event, "with the release that this one was made from"


def test_a_record_that_keeps_quiet_about_it_is_refused(release: Path, tmp_path: Path) -> None:
    run(later(tmp_path, images(release)), registry=toy_registry())
    path = tmp_path / "run" / "release" / "run.json"
    data = json.loads(path.read_text())
    data["guarantee"]["caveats"].remove(EARLIER_RELEASE_SEEN)
    path.write_text(json.dumps(data))
    assert "caveats" in {check.name for check in verify(path).checks if not check.passed}


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
        (lambda data: {"guarantee": 1}, "run record", StorageError),
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


def test_a_record_of_something_else_is_no_release(release: Path, tmp_path: Path) -> None:
    assert EARLIER_RELEASE not in labels(planned(tmp_path, altered(release, tmp_path, lambda _: {"name": "a build"})))


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
    pretrain(waived, tmp_path / "weights", registry=toy_registry())


def test_a_release_of_a_test_double_is_told_by_its_record(tmp_path: Path) -> None:
    run(toy_config(tmp_path), registry=toy_registry(), noise=SeededNoise(0))
    with pytest.raises(ConfigError, match="test double"):
        planned(tmp_path, images(tmp_path / "run" / "release"))
