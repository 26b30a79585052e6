"""DPGAN's parts: the pair under one loss, the generator's own optimiser, what may mix images and what may not."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dpgen.budget import ADD_OR_REMOVE_ONE
from dpgen.data.datasets import ArrayRecords, PublicDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.data.relabelled import relabelled
from dpgen.errors import SensitivityError
from dpgen.mechanisms import RunContext
from dpgen.mechanisms.checkpoints import Checkpoints
from dpgen.mechanisms.context import public_generator
from dpgen.mechanisms.dp_sgd import DpSgd, training
from dpgen.noise import PublicRows, SeededNoise
from dpgen_plugins.gan.adversarial import generator_turn, pair_inputs, pair_losses
from dpgen_plugins.gan.networks import Adversaries, fresh_discriminator, fresh_generator, images_by_class
from dpgen_plugins.gan.pretrain import pretrain
from dpgen_plugins.gan.settings import (
    AdversarialPretraining,
    DiscriminatorSettings,
    GeneratorSettings,
    GeneratorSteps,
)

INFO = DatasetInfo(shape=Shape(1, 8, 8), class_names=("a", "b", "c"), nominal_records=24)
STEPS = GeneratorSteps(every=2, batch=6, shown=2, learning_rate=0.01)


def fresh(seed: int = 0) -> Adversaries:
    random = public_generator(seed, "weights")
    made = Adversaries(
        fresh_discriminator(DiscriminatorSettings(width=4, halvings=2), INFO, random),
        fresh_generator(GeneratorSettings(latent=3, width=2), INFO, random),
        shape=INFO.shape,
        shown=2,
    )
    made.show(public_generator(seed, "shown"))
    return made


def records(count: int = 24) -> ArrayRecords:
    pixels = torch.randint(0, 256, (count, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return ArrayRecords(pixels, torch.arange(count) % 3)


def test_a_pair_is_a_record_and_a_generated_image_of_its_class() -> None:
    module, images, labels = fresh(), torch.rand(5, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1])
    random = PublicRows(10, torch.Generator().manual_seed(0), torch.device("cpu"))
    rows = pair_inputs(images, labels, views=2, random=random)
    assert rows[1].tolist() == [0, 0, 1, 1, 2, 2, 0, 0, 1, 1]
    losses = pair_losses(module, *rows)
    for row, loss in enumerate(losses):
        label = int(rows[1][row])
        partner = module.shown[label, int(rows[2][row] * 2)][None]
        own = torch.tensor([label])
        real, fake = module.discriminator(rows[0][row : row + 1], own), module.discriminator(partner, own)
        torch.testing.assert_close(loss, (F.relu(1 - real) + F.relu(1 + fake))[0])


def test_the_own_optimiser_is_adam() -> None:
    module = fresh()
    twin = {name: nn.Parameter(p.clone()) for name, p in module.generator.named_parameters()}
    adam = torch.optim.Adam(twin.values(), lr=0.01, betas=(0.5, 0.99), eps=1e-8)
    random = torch.Generator().manual_seed(1)
    for _ in range(5):
        gradients = {name: torch.randn(p.shape, generator=random) for name, p in twin.items()}
        module.descend(gradients, learning_rate=0.01)
        for name, parameter in twin.items():
            parameter.grad = gradients[name]
        adam.step()
    for name, parameter in module.generator.named_parameters():
        torch.testing.assert_close(parameter, twin[name].data)


def test_the_generator_moves_every_few_steps_and_towards_a_better_score() -> None:
    module = fresh()
    draws = partial(public_generator, 0)
    before = {name: p.clone() for name, p in module.generator.named_parameters()}
    generator_turn(module, 0, settings=STEPS, draws=draws)
    assert all(torch.equal(p, before[name]) for name, p in module.generator.named_parameters())

    def score() -> float:
        images = images_by_class(module.generator, 40, public_generator(1, "scored"))
        labels = torch.arange(3).repeat_interleave(40)
        return module.discriminator(images.flatten(0, 1), labels).mean().item()

    first = score()
    for step in range(1, 41, 2):
        generator_turn(module, step, settings=STEPS, draws=draws)
    assert score() > first + 0.1
    assert not any(p.requires_grad for p in module.generator.parameters())
    assert not any(part.training for part in module.generator.modules())


def dp_sgd(module: Adversaries, steps: int = 4) -> DpSgd:
    return DpSgd(
        module=module,
        inputs=pair_inputs,
        loss=pair_losses,
        clip_norm=0.1,
        noise_multiplier=1.0,
        sampling_probability=0.5,
        steps=steps,
        nominal_records=24,
        optimizer=partial(torch.optim.Adam, lr=1e-2),
        after_step=partial(generator_turn, settings=STEPS, draws=partial(public_generator, 0)),
        phase="gan",
    )


def test_a_discriminator_that_mixes_images_is_refused() -> None:
    module = fresh()
    module.discriminator.maps.append(nn.BatchNorm2d(8))
    with pytest.raises(SensitivityError):
        dp_sgd(module)


def test_a_generator_left_in_training_mode_is_refused() -> None:
    module = fresh()
    module.generator.train()
    with pytest.raises(SensitivityError):
        dp_sgd(module)


def test_a_killed_training_ends_with_the_generator_of_an_unbroken_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The generator and the moments of its optimiser lie in the checkpoint of DP-SGD, whole."""
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    noise, relation = SeededNoise(3), ADD_OR_REMOVE_ONE
    whole = dp_sgd(fresh())._measure(records(), noise=noise, relation=relation, context=RunContext())
    context = RunContext(checkpoints=Checkpoints())

    class Killed(Exception):
        pass

    def kill(module: nn.Module, step: int) -> None:
        generator_turn(module, step, settings=STEPS, draws=partial(public_generator, 0))
        if step == 2:
            raise Killed

    broken = dp_sgd(fresh())
    object.__setattr__(broken, "after_step", kill)
    with pytest.raises(Killed):
        broken._measure(records(), noise=noise, relation=relation, context=context)
    resumed = dp_sgd(fresh())._measure(records(), noise=noise, relation=relation, context=context)
    for name, tensor in whole.ema.items():
        assert torch.equal(tensor, resumed.ema[name]), name


PUBLIC = PublicDataset("toy", records(30)._images, torch.arange(30) % 3, ("b", "z", "a"))


def test_public_classes_of_a_private_name_keep_it_and_others_are_left_out() -> None:
    found = relabelled(PUBLIC, INFO.class_names)
    assert len(found) == 20
    assert set(found.labels.tolist()) == {0, 1}
    assert torch.equal(found.images[found.labels == 1], PUBLIC.images[PUBLIC.labels == 0])


def test_unrelated_public_classes_are_dealt_over_the_private_ones() -> None:
    found = relabelled(PUBLIC, ("x", "y"))
    assert found.labels.tolist() == (PUBLIC.labels % 2).tolist()
    assert found.class_names == ("x", "y")


def test_pretraining_goes_on_where_it_was_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpgen_plugins.gan.pretrain.CHECKPOINT_EVERY", 2)
    settings = AdversarialPretraining(steps=5, batch=4)

    def run(context: RunContext) -> dict[str, torch.Tensor]:
        return pretrain(fresh(), PUBLIC, INFO, settings=settings, generator=STEPS, context=context)

    whole, context = run(RunContext()), RunContext(checkpoints=Checkpoints())
    calls = 0

    def kill(*arguments: object, **named: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        generator_turn(*arguments, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr("dpgen_plugins.gan.pretrain.generator_turn", kill)
        with pytest.raises(KeyboardInterrupt):
            run(context)
    resumed = run(context)
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name
