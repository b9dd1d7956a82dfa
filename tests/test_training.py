import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from runners.base import DivergenceError
from runners.images import Images
from runners.training import Normalise, Recipe, accuracy, augment, train
from search_space import InputError


def squares(count: int) -> Images:
    """Images that tell their class by which half is bright: learnable in a few steps."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, count)
    pixels = rng.integers(0, 60, (count, 1, 8, 8)).astype(np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[:, :, 4 * label : 4 * label + 4] += 150
    return Images(pixels, labels, np.arange(count))


def linear(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 2))


def fit(network: nn.Module, recipe: Recipe, seed: int = 0) -> list[float]:
    images = squares(200)
    normalise = Normalise.of(images)

    def measured() -> float:
        return accuracy(network, images, normalise=normalise, size=8)

    return list(train(network, images, recipe, normalise=normalise, size=8, seed=seed, after_epoch=measured))


SHORT = Recipe(epochs=3, batch_size=20, lr=0.05, pad=0)


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop"])
def test_a_network_learns_what_can_be_learnt(optimizer: str) -> None:
    recipe = Recipe(epochs=3, batch_size=20, lr=0.05 if optimizer == "sgd" else 0.002, optimizer=optimizer, pad=0)  # type: ignore[arg-type]
    curve = fit(linear(), recipe)
    assert len(curve) == 3
    assert curve[-1] > 0.97


def test_the_seed_fixes_the_training_bit_for_bit() -> None:
    one, other, different = linear(), linear(), linear()
    assert fit(one, SHORT, seed=1) == fit(other, SHORT, seed=1)
    fit(different, SHORT, seed=2)
    assert all(map(torch.equal, one.parameters(), other.parameters()))
    assert not all(map(torch.equal, one.parameters(), different.parameters()))


def test_a_loss_that_is_no_number_is_a_divergence() -> None:
    with pytest.raises(DivergenceError, match=r"loss is (nan|inf) in epoch 1"):
        fit(linear(), Recipe(epochs=3, batch_size=20, lr=1e30, momentum=0.99, pad=0))


def test_the_learning_rate_climbs_then_falls_along_a_cosine() -> None:
    recipe = Recipe(epochs=5, lr=0.4, warmup_epochs=1.0)
    assert recipe.lr_at(0.5) == pytest.approx(0.2)
    assert recipe.lr_at(1.0) == pytest.approx(0.4)
    assert recipe.lr_at(3.0) == pytest.approx(0.2)
    assert recipe.lr_at(4.0) == pytest.approx(0.4 * 0.5 * (1 + math.cos(0.75 * math.pi)))
    assert recipe.lr_at(5.0) == pytest.approx(0.0, abs=1e-12)


def test_weight_decay_spares_biases_and_batch_norm() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0)
    dark = Images(np.zeros((20, 1, 8, 8), np.uint8), np.zeros(20, np.int64), np.arange(20))
    normalise = Normalise(torch.zeros(1), torch.ones(1))
    recipe = Recipe(epochs=1, batch_size=20, lr=1e-3, weight_decay=100.0, label_smoothing=0.0, pad=0, warmup_epochs=0)
    list(train(network, dark, recipe, normalise=normalise, size=8, seed=0, after_epoch=lambda: 0.0))
    # Black images: the first convolution has no gradient but its decay, batch norm's scale none at all.
    assert network[0].weight.max() < 1
    assert torch.equal(network[1].weight, torch.ones(4))


@given(st.integers(0, 4), st.booleans(), st.integers(0, 1000))
def test_augmentation_keeps_shape_and_makes_only_shifted_or_mirrored_pixels(pad: int, flip: bool, seed: int) -> None:
    images = torch.arange(1, 3 * 2 * 6 * 6 + 1, dtype=torch.int32).reshape(3, 2, 6, 6)
    out = augment(images, pad, flip, torch.Generator().manual_seed(seed))
    assert out.shape == images.shape
    for before, after in zip(images, out, strict=True):
        padded = nn.functional.pad(before, (pad, pad, pad, pad))
        crops = [padded[:, top : top + 6, left : left + 6] for top in range(2 * pad + 1) for left in range(2 * pad + 1)]
        crops += [crop.flip(2) for crop in crops] if flip else []
        assert any(torch.equal(after, crop) for crop in crops)


def test_each_image_is_shifted_on_its_own() -> None:
    image = torch.zeros(64, 1, 8, 8, dtype=torch.uint8)
    image[:, :, 4, 4] = 1
    places = augment(image, 2, False, torch.Generator().manual_seed(0)).flatten(1).argmax(1)
    assert len(set(places.tolist())) > 10


def test_normalised_images_have_mean_zero_and_deviation_one() -> None:
    images = squares(500)
    floats = Normalise.of(images)(torch.from_numpy(images.batch(np.arange(500))[0]), 8)
    assert floats.mean().item() == pytest.approx(0, abs=0.01)
    assert floats.std().item() == pytest.approx(1, abs=0.01)


def test_images_are_resized_to_what_the_network_takes() -> None:
    images = squares(20)
    floats = Normalise.of(images)(torch.from_numpy(images.batch(np.arange(20))[0]), 12)
    assert floats.shape == (20, 1, 12, 12)


def test_accuracy_counts_every_image_once() -> None:
    images = squares(1203)  # not a multiple of the evaluation's batch
    labels = torch.from_numpy(images.labels)

    class Oracle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen, self.unused = 0, nn.Parameter(torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            right = nn.functional.one_hot(labels[self.seen : self.seen + len(x)], 2)
            if self.seen == 0:
                right[:3] = 1 - right[:3]  # three wrong answers
            self.seen += len(x)
            return right

    assert accuracy(Oracle(), images, normalise=Normalise.of(images), size=8) == pytest.approx(1200 / 1203)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("momentum", 1.0),
        ("weight_decay", -1.0),
        ("warmup_epochs", 2.0),
        ("label_smoothing", 1.0),
        ("pad", -1),
        ("bn_momentum", 0.0),
    ],
)
def test_impossible_recipes_are_refused(key: str, value: float) -> None:
    with pytest.raises(InputError, match=f"^{key}: "):
        Recipe(**{key: value})  # type: ignore[arg-type]
