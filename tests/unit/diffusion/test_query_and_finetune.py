"""What PrivImage's two looks at the private records ask for: votes in their own row, the planned noise, the average."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from dpgen.budget import ADD_OR_REMOVE_ONE, Charge, Plan
from dpgen.data.datasets import PublicDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import InvalidValue, PlanMismatch
from dpgen.events import DiscreteGaussian, Gaussian
from dpgen.generators.training.private import LABEL, finetune_event
from dpgen.generators.training.settings import FinetuneSettings
from dpgen.mechanisms import RunContext
from dpgen.networks.classifier import ImageClassifier
from dpgen_plugins.diffusion.finetune import finetune
from dpgen_plugins.diffusion.model import fresh_network
from dpgen_plugins.diffusion.privimage import PrivImage
from dpgen_plugins.diffusion.query_network import OwnClassifier
from dpgen_plugins.diffusion.selection import Selection
from dpgen_plugins.diffusion.semantic_query import TopClassVotes
from dpgen_plugins.diffusion.settings import NetworkSettings, NoiseLevelSettings

INFO = DatasetInfo(shape=Shape(1, 8, 8), class_names=("a", "b"), nominal_records=40)
SETTINGS = FinetuneSettings(expected_batch=8, steps=3, views=2)


class Asked:
    """Stands for the private data set: keeps the mechanism and answers with marked weights."""

    info = INFO

    def release(self, mechanism, *, label):
        self.mechanism, self.label = mechanism, label
        return SimpleNamespace(weights={"w": "after the last step"}, ema={"w": "average"})


def asked(plan: Plan) -> tuple[Asked, dict]:
    private = Asked()
    network = fresh_network(NetworkSettings(base=4, multipliers=(1,)), INFO, seed=0)
    return private, finetune(network, private, plan, settings=SETTINGS, noise_levels=NoiseLevelSettings())


def test_training_does_what_was_planned_and_gives_the_average():
    event = finetune_event(SETTINGS, INFO, 1.7)
    private, weights = asked(Plan((Charge(LABEL, event),)))
    assert private.label == LABEL
    assert private.mechanism.event(ADD_OR_REMOVE_ONE) == event
    assert private.mechanism.noise_multiplier == 1.7
    assert weights == {"w": "average"}


def test_a_plan_of_another_kind_is_refused():
    with pytest.raises(PlanMismatch, match="finetune"):
        asked(Plan((Charge(LABEL, Gaussian(1.0)),)))


def test_votes_lie_in_the_row_of_the_private_class():
    classifier = ImageClassifier(1, 5, 4, generator=torch.Generator().manual_seed(0))
    images, labels = torch.rand(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    votes = TopClassVotes(OwnClassifier("cnn", classifier, torch.device("cpu")), 3)(images, labels)
    assert votes.shape == (6, 3)
    assert torch.equal(votes // 5, labels[:, None].expand(6, 3)), "row: the private class"
    with torch.inference_mode():
        best = classifier.eval()(images).topk(3, dim=1).indices
    assert torch.equal(votes % 5, best), "column: the public class"


def test_pretraining_sees_the_chosen_classes_alone_under_the_labels_that_took_them():
    images = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(10, 1, 8, 8)
    public = PublicDataset("toy", images, torch.arange(10) % 5, ("v", "w", "x", "y", "z"))
    chosen = Selection(torch.zeros(2, 5).numpy(), ((3,), (0,)), INFO.class_names, public.class_names)
    pictures, labels = chosen.training_set(public)
    assert pictures[:, 0, 0, 0].tolist() == [0, 3, 5, 8]
    assert labels.tolist() == [1, 0, 1, 0]


class Counted:
    """Stands for the private data set: holds no record, and answers every query with the numbers 0, 1, 2, ..."""

    info = INFO

    def release(self, mechanism, *, label):
        self.mechanism, self.label = mechanism, label
        return torch.arange(mechanism.cells).numpy()


def test_the_histogram_is_what_was_released_with_the_planned_noise_and_nothing_else():
    images = torch.zeros(10, 1, 8, 8, dtype=torch.uint8)
    public = PublicDataset("toy", images, torch.arange(10) % 5, ("v", "w", "x", "y", "z"))
    query = {"votes": 2, "classifier_steps": 1, "classifier_width": 4}
    generator = PrivImage(PrivImage.Config.model_validate({"query": query}))
    private, plan = Counted(), Plan((Charge("semantic-query", DiscreteGaussian(7.0, 2)),))
    found = generator._query(private, public, plan, RunContext())["histogram"]
    assert found.flatten().tolist() == list(range(2 * 5))
    assert private.label == "semantic-query"
    assert private.mechanism.event(ADD_OR_REMOVE_ONE) == plan["semantic-query"]


@pytest.mark.parametrize("checked", [True, False], ids=["as it is", "twin without the check"])
def test_too_few_public_classes_with_images_are_refused_before_the_query(monkeypatch, checked):
    if not checked:
        monkeypatch.setattr("dpgen_plugins.diffusion.privimage.require_enough", lambda *_, **__: None)
    images, labels = torch.zeros(6, 1, 8, 8, dtype=torch.uint8), torch.zeros(6, dtype=torch.int64)
    public = PublicDataset("toy", images, labels, ("v", "w", "x", "y", "z"))  # four classes show nothing
    query = {"votes": 2, "classes_per_class": 2, "classifier_steps": 1, "classifier_width": 4}
    generator = PrivImage(PrivImage.Config.model_validate({"query": query}))
    private, plan = Counted(), Plan((Charge("semantic-query", DiscreteGaussian(7.0, 2)),))
    with pytest.raises(InvalidValue, match=r"query\.classes_per_class"):
        generator.fit(private, public, plan, RunContext())
    assert hasattr(private, "label") != checked  # the twin asks, and is refused afterwards
