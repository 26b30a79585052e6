from __future__ import annotations

import pytest
import torch

from dpgen.errors import InvalidValue
from dpgen.networks.classifier import ImageClassifier
from dpgen.networks.digest import weights_digest
from dpgen.networks.inference import accuracy, extract_features, predict


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("side", [8, 16, 28, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_takes_every_documented_size(side: int, channels: int) -> None:
    network = ImageClassifier(channels, 5, 4).eval()
    images = torch.rand(3, channels, side, side, generator=generator())
    assert network(images).shape == (3, 5)
    features = network.features(images)
    assert features.shape == (3, network.feature_size)
    assert (features >= 0).all()


def test_logits_are_the_head_of_the_features() -> None:
    network = ImageClassifier(1, 3, 4).eval()
    images = torch.rand(2, 1, 8, 8, generator=generator())
    torch.testing.assert_close(network(images), network.head(network.features(images)))


def test_initial_weights_follow_the_generator_and_nothing_else() -> None:
    torch.manual_seed(1)
    first = ImageClassifier(1, 3, 4, generator=generator(5))
    torch.manual_seed(2)
    again, other = ImageClassifier(1, 3, 4, generator=generator(5)), ImageClassifier(1, 3, 4, generator=generator(6))
    assert weights_digest(first) == weights_digest(again) != weights_digest(other)


def test_json_builds_the_same_architecture() -> None:
    network = ImageClassifier(3, 7, 5)
    copy = ImageClassifier(**network.to_json())
    copy.load_state_dict(network.state_dict())
    assert weights_digest(copy) == weights_digest(network)
    assert copy.to_json() == network.to_json() == {"channels": 3, "classes": 7, "width": 5}


@pytest.mark.parametrize("setting", [{"channels": 0}, {"classes": 0}, {"width": 0}])
def test_refuses_bad_settings(setting: dict[str, int]) -> None:
    with pytest.raises(InvalidValue, match=next(iter(setting))):
        ImageClassifier(**{"channels": 1, "classes": 2} | setting)


def test_inference_is_the_same_in_any_batch_and_for_bytes() -> None:
    network = ImageClassifier(1, 3, 4).train()
    images = torch.randint(0, 256, (7, 1, 8, 8), generator=generator(), dtype=torch.uint8)
    whole = predict(network, images)
    torch.testing.assert_close(predict(network, images.float() / 255, batch=2), whole)
    torch.testing.assert_close(
        torch.cat([extract_features(network, image[None]) for image in images]), extract_features(network, images)
    )
    assert network.training, "the mode is put back"
    assert whole.shape == (7, 3)
    assert accuracy(network, images, whole.argmax(1)) == 1.0
    assert accuracy(network, images, (whole.argmax(1) + 1) % 3) == 0.0


def test_inference_leaves_the_statistics_of_batch_norm_alone() -> None:
    network = ImageClassifier(1, 3, 4).train()
    before = weights_digest(network)
    predict(network, torch.rand(5, 1, 8, 8, generator=generator()))
    assert weights_digest(network) == before


def test_digest_sees_one_changed_weight() -> None:
    network = ImageClassifier(1, 3, 4)
    before = weights_digest(network)
    with torch.no_grad():
        network.head.bias[0] += 1e-6
    assert weights_digest(network) != before
