"""The parts of Private Evolution: votes, survivors, the sources of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE
from dpgen.data.datasets import PublicDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import DataError, InvalidValue, PrivacyError, UnknownName
from dpgen.events import DiscreteGaussian
from dpgen.generators.image_api import ImageApi
from dpgen.generators.pretrained import PublicSet, save_pretrained
from dpgen.mechanisms import RunContext
from dpgen_plugins.diffusion.pdp_diffusion import PdpDiffusion
from dpgen_plugins.evolution.examples import Blots
from dpgen_plugins.evolution.population import checked, first_population, survivors, varied
from dpgen_plugins.evolution.public_api import PublicImages, PublicOptions
from dpgen_plugins.evolution.settings import ApiSettings, VotingSettings
from dpgen_plugins.evolution.sources import build_api, check_api, check_extractor
from dpgen_plugins.evolution.voting import NearestVotes, votes_event

INFO = DatasetInfo(shape=Shape(1, 8, 8), class_names=("a", "b"), nominal_records=20)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def brightness(images: Tensor) -> np.ndarray:
    pixels = images.double() / 255 if images.dtype == torch.uint8 else images.double()
    return pixels.mean((1, 2, 3))[:, None].numpy()


def grey(*levels: float) -> Tensor:
    return torch.tensor(levels)[:, None, None, None].expand(-1, 1, 8, 8).clone()


VOTE = NearestVotes([np.array([[0.1], [0.5], [0.9]]), np.array([[0.2], [0.6], [0.7]])], brightness, votes=2)


def test_each_image_votes_for_its_nearest_ones_of_its_own_class_nearest_first() -> None:
    votes = VOTE(grey(0.0, 0.62, 1.0, 0.0), torch.tensor([0, 1, 1, 1]))
    assert votes.tolist() == [[0, 1], [4, 5], [5, 4], [3, 4]]


def test_a_label_outside_the_classes_has_no_vote() -> None:
    assert VOTE(grey(0.5, 0.5), torch.tensor([7, -1])).tolist() == [[-1, -1], [-1, -1]]
    assert VOTE(grey(0.5)[:0], torch.tensor([], dtype=torch.int64)).shape == (0, 2)


def test_a_vote_does_not_depend_on_the_batch_that_it_is_in() -> None:
    """Candidates that come twice are ties; a tie that turns with the batch would let a record move another's vote."""
    draws = np.random.default_rng(0)
    unique = draws.normal(size=(40, 70))
    candidates = np.concatenate([unique, unique])
    rows = torch.from_numpy(draws.normal(size=(90, 1, 1, 70)))
    vote = NearestVotes([candidates], lambda images: images.flatten(1).numpy(), votes=3)
    whole, labels = vote(rows, torch.zeros(90, dtype=torch.int64)), torch.zeros(1, dtype=torch.int64)
    assert torch.equal(whole, torch.cat([vote(row[None], labels) for row in rows]))


def test_candidates_within_one_step_of_the_grid_tie_and_the_first_wins() -> None:
    vote = NearestVotes([np.array([[0.0], [0.5 + 1e-9], [0.5]])], brightness, votes=1)
    assert vote(grey(0.5), torch.tensor([0])).tolist() == [[1]], "off the grid the third is nearer"


def test_the_price_of_a_round_counts_the_cells_that_neighbours_differ_in() -> None:
    assert votes_event(3, 2.0, ADD_OR_REMOVE_ONE) == DiscreteGaussian(scale=2.0, touched=3)
    assert votes_event(3, 2.0, REPLACE_ONE) == DiscreteGaussian(scale=2.0, touched=6)


def population() -> Tensor:
    return torch.arange(8, dtype=torch.uint8).reshape(2, 4, 1, 1, 1).expand(2, 4, 1, 2, 2).clone()


def test_survivors_are_drawn_in_proportion_to_what_exceeds_the_threshold() -> None:
    big = population().repeat_interleave(500, dim=1)
    counts = torch.tensor([0, 5, 15, 9, 90, -3, 0, 2]).repeat_interleave(500)
    found = survivors(big, counts, threshold=5.0, generator=seeded())[:, :, 0, 0, 0]
    shares = [float((found[0] == member).double().mean()) for member in range(4)]
    assert shares[:2] == [0, 0]  # at the threshold, and below it
    assert shares[2] == pytest.approx(10 / 14, abs=0.04)
    assert set(found[1].tolist()) == {4}


def test_a_class_without_votes_is_drawn_evenly() -> None:
    found = survivors(population(), torch.full((8,), -4), threshold=0.0, generator=seeded())
    assert found.shape == population().shape
    assert bool((found[0] < 4).all())
    assert bool((found[1] >= 4).all())


class Broken(ImageApi):
    def __init__(self, images: Tensor) -> None:
        self._images = images

    def random(self, count: int, *, class_name: str | None, generator: torch.Generator) -> Tensor:
        return self._images

    def vary(self, images: Tensor, *, degree: float, generator: torch.Generator) -> Tensor:
        return self._images


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (torch.zeros(3, 1, 8, 7), "must return float images"),
        (torch.zeros(3, 1, 8, 8, dtype=torch.uint8), "must return float images"),
        (torch.full((3, 1, 8, 8), 1.5), r"values in \[0, 1\]"),
        (torch.full((3, 1, 8, 8), torch.nan), r"values in \[0, 1\]"),
    ],
)
def test_an_api_that_breaks_its_contract_is_named(images: Tensor, reason: str) -> None:
    with pytest.raises(DataError, match=f"`random`.*{reason}"):
        first_population(Broken(images), (1, 8, 8), (None,), size=3, generator=seeded())
    with pytest.raises(DataError, match=f"`vary`.*{reason}"):
        varied(torch.zeros(3, 1, 8, 8, dtype=torch.uint8), Broken(images), degree=0.5, generator=seeded())


def test_eight_bit_images_go_through_unchanged() -> None:
    images = torch.randint(0, 256, (5, 1, 8, 8), generator=seeded(), dtype=torch.uint8)
    assert torch.equal(checked(images.float() / 255, (5, 1, 8, 8), operation="vary"), images)


def public() -> PublicDataset:
    levels = torch.linspace(0, 1, 50)
    return PublicDataset("greys", (255 * grey(*levels.tolist())).to(torch.uint8), torch.arange(50) // 25, ("a", "z"))


def test_the_public_set_gives_images_of_a_class_that_it_knows_by_name() -> None:
    api = PublicImages(public(), brightness, PublicOptions())
    assert float(api.random(40, class_name="a", generator=seeded()).max()) < 0.5
    assert float(api.random(40, class_name="unknown", generator=seeded()).max()) > 0.5
    assert float(api.random(40, class_name=None, generator=seeded()).max()) > 0.5


def test_variations_of_a_smaller_degree_stay_nearer() -> None:
    api, start = (
        PublicImages(public(), brightness, PublicOptions(neighbours=40, jitter=0.0)),
        grey(0.5).repeat(60, 1, 1, 1),
    )
    assert torch.equal(api.vary(start, degree=0.0, generator=seeded()), start)
    spreads = [float(api.vary(start, degree=degree, generator=seeded()).std()) for degree in (0.1, 0.4, 1.0)]
    assert spreads == sorted(spreads)
    assert spreads[0] < spreads[2] / 3


@pytest.mark.parametrize("api", [Blots(INFO.shape), PublicImages(public(), brightness, PublicOptions())])
def test_equal_generators_give_equal_images(api: ImageApi) -> None:
    for made in (
        lambda: api.random(7, class_name=None, generator=seeded(3)),
        lambda: api.vary(grey(*[0.3] * 7), degree=0.7, generator=seeded(3)),
    ):
        first = made()
        assert first.shape == (7, 1, 8, 8)
        assert torch.equal(first, made())


HERE = "dpgen_plugins.evolution.examples"


@pytest.mark.parametrize(
    ("settings", "error", "reason"),
    [
        ({"source": "publik"}, InvalidValue, "api.source must be"),
        ({"source": f"{HERE}:missing"}, InvalidValue, "cannot import"),
        ({"source": f"{HERE}:__name__"}, InvalidValue, "api.source must be"),
        ({"source": "no_such_module_at_all:f"}, InvalidValue, "cannot import"),
        ({"source": "generator:no_such"}, UnknownName, "no_such"),
        ({"source": "generator:dpdm"}, InvalidValue, "before it has seen private ones"),
        ({"source": "generator:pdp_diffusion", "options": {"nonsense": 1}}, InvalidValue, "nonsense"),
        ({"options": {"neighbours": 0}}, InvalidValue, "neighbours"),
    ],
)
def test_sources_that_do_not_fit_are_refused_before_anything_is_trained(
    settings: dict[str, Any], error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        check_api(ApiSettings.model_validate(settings))


def test_what_needs_a_public_set_says_so() -> None:
    assert check_api(ApiSettings()) == 'api.source = "public"'
    assert check_api(ApiSettings(source="generator:pdp_diffusion")) == 'api.source = "generator:pdp_diffusion"'
    assert check_api(ApiSettings(source=f"{HERE}:blots")) is None
    assert check_extractor(VotingSettings()) == 'voting.features = "public_cnn"'
    assert check_extractor(VotingSettings(features="pixel_cosines")) is None
    with pytest.raises(InvalidValue, match=r"voting.weights"):
        check_extractor(VotingSettings(features="efficientnet_lite0"))


def test_a_function_that_returns_something_else_is_refused() -> None:
    settings = ApiSettings(source="builtins:print")
    with pytest.raises(InvalidValue, match=r"must return a dpgen\..*ImageApi; found NoneType"):
        build_api(settings, INFO, None, brightness, RunContext())


OPTIONS = {
    "network": {"base": 4, "multipliers": [1]},
    "pretrain": {"steps": 2, "batch": 4},
    "sampler": {"steps": 4},
}


def test_a_generator_trained_on_public_images_alone_is_a_source() -> None:
    settings = ApiSettings(source="generator:pdp_diffusion", options=OPTIONS)
    api = build_api(settings, INFO, public(), brightness, RunContext())
    made = api.random(5, class_name="a", generator=seeded())
    assert made.shape == (5, 1, 8, 8)
    near, far = (api.vary(made, degree=degree, generator=seeded(1)) for degree in (0.0, 1.0))
    assert float((near - made).abs().mean()) < float((far - made).abs().mean())
    assert torch.equal(far, api.vary(made, degree=1.0, generator=seeded(1)))
    assert 0 <= float(near.min()) <= float(near.max()) <= 1


def test_a_public_checkpoint_is_a_source_and_a_released_model_is_none(tmp_path: Path) -> None:
    made_ahead = PdpDiffusion(PdpDiffusion.Config.model_validate(OPTIONS | {"labels": {"conditional": False}}))
    for part in made_ahead.pretrain(public(), RunContext()):
        save_pretrained(tmp_path, part, PublicSet.of(public()), seed=0)
    options = OPTIONS | {"pretrain": {"steps": 2, "batch": 4, "checkpoint": str(tmp_path)}}
    settings = ApiSettings(source="generator:pdp_diffusion", options=options)
    trained, reused = (
        build_api(one, INFO, public(), brightness, RunContext())
        for one in (ApiSettings(source="generator:pdp_diffusion", options=OPTIONS), settings)
    )
    draws = [api.random(3, class_name=None, generator=seeded()) for api in (trained, reused)]
    torch.testing.assert_close(draws[0], draws[1])
    (tmp_path / "run.json").write_text("{}")  # reference fault P11: a checkpoint that has seen private images
    with pytest.raises(PrivacyError, match="public images alone"):
        build_api(settings, INFO, public(), brightness, RunContext())
