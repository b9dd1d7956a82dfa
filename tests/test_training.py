import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from runners.base import DivergenceError
from runners.data.images import Images
from runners.training.augment import Normalise, augment, partners, tensor_of
from runners.training.loop import Training
from runners.training.recipe import PAPER, Recipe
from runners.training.vector import Precision
from search_space import InputError


def squares(count: int) -> Images:
    """Images that tell their class by which half is bright: learnable in a few steps."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, count)
    pixels = rng.integers(0, 60, (count, 8, 8, 1)).astype(np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[:, 4 * label : 4 * label + 4] += 150
    return Images(pixels, labels, np.arange(count))


def linear(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 2))


def training(
    network: nn.Module, recipe: Recipe, seed: int = 0, images: Images | None = None
) -> Training:
    return Training(
        network, recipe, normalise=Normalise.of(images or squares(200)), size=8, seed=seed
    )


def fit(network: nn.Module, recipe: Recipe, seed: int = 0) -> list[float]:
    images, trained, curve = squares(200), training(network, recipe, seed), []
    for epoch in range(recipe.epochs):
        trained.epoch(epoch, images)
        curve.append(trained.accuracy(images))
    return curve


def dropping(seed: int = 0) -> nn.Module:
    """A network with all that is hard to take up again: dropout, batch norm's statistics."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(), nn.Linear(144, 2)
    )


SHORT = Recipe(epochs=3, batch_size=20, lr=0.05, pad=0)


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop"])
def test_a_network_learns_what_can_be_learnt(optimizer: str) -> None:
    recipe = Recipe(
        epochs=3,
        batch_size=20,
        lr=0.05 if optimizer == "sgd" else 0.002,
        optimizer=optimizer,
        pad=0,
    )  # type: ignore[arg-type]
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


def test_the_papers_learning_rate_falls_by_3_percent_each_2_4_epochs_after_5_of_warm_up() -> None:
    assert PAPER.lr_at(2.5) == pytest.approx(0.008)
    assert PAPER.lr_at(5.0) == pytest.approx(0.016 * 0.97**2)  # two steps passed while it warmed up
    assert PAPER.lr_at(7.1) == pytest.approx(0.016 * 0.97**2)
    assert PAPER.lr_at(7.3) == pytest.approx(0.016 * 0.97**3)
    assert PAPER.lr_at(349.9) == pytest.approx(0.016 * 0.97**145)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_running_average_of_the_weights_is_what_is_measured_and_follows_them(
    precision: Precision,
) -> None:
    recipe = Recipe(epochs=1, batch_size=20, lr=0.05, pad=0, ema=0.9)
    network, images = linear(), squares(20)
    before = network[1].weight.detach().clone()
    trained = Training(
        network, recipe, normalise=Normalise.of(images), size=8, seed=0, precision=precision
    )
    trained.epoch(0, images)  # one step
    average = trained.result[1].weight  # type: ignore[index]
    assert average is not network[1].weight
    # At the first step the average keeps a tenth: (1 + 0) / (10 + 0).
    assert torch.allclose(average, 0.1 * before + 0.9 * network[1].weight)
    assert recipe.ema_at(10**6) == 0.9


@pytest.mark.parametrize(
    "recipe", [SHORT, replace(SHORT, optimizer="rmsprop", lr=0.002, ema=0.99)], ids=["sgd", "ema"]
)
def test_a_training_that_is_taken_up_again_goes_on_as_if_it_had_not_stopped(recipe: Recipe) -> None:
    images = squares(200)
    whole = training(dropping(), recipe)
    losses = [whole.epoch(epoch, images) for epoch in range(3)]
    first = training(dropping(), recipe)
    first.epoch(0, images)
    kept = {name: tensor.clone() for name, tensor in first.tensors().items()}
    torch.rand(7)
    second = training(dropping(seed=1), recipe)
    second.load(kept)
    assert [second.epoch(epoch, images) for epoch in (1, 2)] == losses[1:]
    assert whole.accuracy(images) == second.accuracy(images)
    assert all(
        torch.equal(tensor, second.tensors()[name]) for name, tensor in whole.tensors().items()
    )


@pytest.mark.parametrize(
    ("recipe", "kept"),
    [
        (SHORT, {"momentum_buffer"}),
        (replace(SHORT, momentum=0.0), set()),
        (replace(SHORT, optimizer="rmsprop"), {"square", "momentum"}),
    ],
    ids=["sgd", "no momentum", "rmsprop"],
)
def test_the_optimizers_state_has_the_names_that_checkpoints_have(
    recipe: Recipe, kept: set[str]
) -> None:
    names = training(linear(), recipe).tensors().keys()
    assert {name for name in names if name.startswith("optimizer")} == {
        f"optimizer.{n}.{k}" for n in (0, 1) for k in kept
    }


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop"])
def test_a_training_does_not_load_torchs_compiler(optimizer: str) -> None:
    script = f"""
import sys
from dataclasses import replace
from tests.test_training import SHORT, linear, squares, training
trained = training(linear(), replace(SHORT, optimizer={optimizer!r}))
trained.epoch(0, squares(200))
trained.accuracy(squares(200))
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parent.parent)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_a_step_left_that_failed_does_not_reach_the_next(precision: Precision) -> None:
    images, networks = squares(200), (dropping(), dropping())
    clean, failed = (
        Training(
            network, SHORT, normalise=Normalise.of(images), size=8, seed=0, precision=precision
        )
        for network in networks
    )

    def run_out(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        output.register_hook(lambda gradient: torch.empty(2**60))

    hook = networks[1][1].register_forward_hook(run_out)  # type: ignore[index]
    with pytest.raises(RuntimeError, match="memory"):
        failed.epoch(0, images)
    hook.remove()
    assert clean.epoch(0, images) == failed.epoch(0, images)
    assert all(map(torch.equal, *(network.parameters() for network in networks)))


def test_the_state_of_another_recipe_or_network_is_refused() -> None:
    images = squares(200)
    done = training(linear(), SHORT)
    done.epoch(0, images)
    with pytest.raises(
        InputError,
        match=r"average.1.bias is missing; written by another recipe, or version of mnas",
    ):
        training(linear(), replace(SHORT, ema=0.9)).load(done.tensors())
    wider = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    with pytest.raises(
        InputError, match=r"network.1.weight: \[2, 64\]; takes a tensor of shape \[3, 64\]"
    ):
        training(wider, SHORT).load(done.tensors())


def test_bfloat16_learns_too_and_keeps_its_weights_in_float32() -> None:
    images, network = squares(200), linear()
    trained = Training(
        network, SHORT, normalise=Normalise.of(images), size=8, seed=0, precision="bfloat16"
    )
    for epoch in range(3):
        trained.epoch(epoch, images)
    assert trained.accuracy(images) > 0.97
    assert {tensor.dtype for tensor in trained.tensors().values()} == {torch.float32}


def test_weight_decay_spares_biases_and_batch_norm() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0)
    dark = Images(np.zeros((20, 8, 8, 1), np.uint8), np.zeros(20, np.int64), np.arange(20))
    recipe = Recipe(
        epochs=1,
        batch_size=20,
        lr=1e-3,
        weight_decay=100.0,
        label_smoothing=0.0,
        pad=0,
        warmup_epochs=0,
    )
    training(network, recipe, images=dark).epoch(0, dark)
    # Black images: the first convolution has no gradient but its decay, batch norm's scale none at
    # all.
    assert network[0].weight.max() < 1
    assert torch.equal(network[1].weight, torch.ones(4))


@given(st.integers(0, 4), st.booleans(), st.integers(0, 1000))
def test_augmentation_keeps_shape_and_makes_only_shifted_or_mirrored_pixels(
    pad: int, flip: bool, seed: int
) -> None:
    images = torch.arange(1, 3 * 2 * 6 * 6 + 1, dtype=torch.int32).reshape(3, 2, 6, 6)
    out = augment(images, pad, flip, torch.Generator().manual_seed(seed))
    assert out.shape == images.shape
    for before, after in zip(images, out, strict=True):
        padded = nn.functional.pad(before, (pad, pad, pad, pad))
        crops = [
            padded[:, top : top + 6, left : left + 6]
            for top in range(2 * pad + 1)
            for left in range(2 * pad + 1)
        ]
        crops += [crop.flip(2) for crop in crops] if flip else []
        assert any(torch.equal(after, crop) for crop in crops)


def test_each_image_is_shifted_on_its_own() -> None:
    image = torch.zeros(64, 1, 8, 8, dtype=torch.uint8)
    image[:, :, 4, 4] = 1
    places = augment(image, 2, False, torch.Generator().manual_seed(0)).flatten(1).argmax(1)
    assert len(set(places.tolist())) > 10


@given(st.integers(1, 12), st.integers(0, 100))
def test_cutout_blackens_a_square_of_each_image_which_may_stand_out_over_an_edge(
    side: int, seed: int
) -> None:
    images = torch.full((8, 3, 10, 10), 7, dtype=torch.uint8)
    black = (augment(images, 0, False, torch.Generator().manual_seed(seed), cutout=side) == 0).all(
        1
    )
    heights, widths = black.any(2).sum(1), black.any(1).sum(1)  # [B]
    assert (heights >= min(side // 2, 10)).all()
    assert (heights <= side).all()
    assert (black.sum((1, 2)) == heights * widths).all()  # a rectangle
    assert (images == 7).all()  # what came in is as it was


def test_mixup_and_cutout_learn_too_and_the_seed_fixes_them() -> None:
    recipe, (one, other, plain) = (
        replace(SHORT, mixup=0.4, cutout=2),
        (linear(), linear(), linear()),
    )
    assert fit(one, recipe, seed=1) == fit(other, recipe, seed=1)
    assert fit(plain, SHORT, seed=1)[-1] > 0.97
    assert all(map(torch.equal, one.parameters(), other.parameters()))
    assert not all(map(torch.equal, one.parameters(), plain.parameters()))
    assert fit(one, recipe)[-1] > 0.97


def test_mixup_keeps_a_share_of_each_image_and_gives_the_rest_to_one_partner_each() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = [partners(10, 0.5, generator) for _ in range(1000)]
    assert all(sorted(order.tolist()) == list(range(10)) for order, _ in drawn)
    shares = np.array([share for _, share in drawn])
    assert shares.mean() == pytest.approx(0.5, abs=0.05)  # Beta(1/2, 1/2): mean 1/2, variance 1/8
    assert shares.var() == pytest.approx(0.125, abs=0.02)


def test_normalised_images_have_mean_zero_and_deviation_one() -> None:
    images = squares(500)
    floats = Normalise.of(images)(tensor_of(images.batch(np.arange(500))[0]), 8)
    assert floats.mean().item() == pytest.approx(0, abs=0.01)
    assert floats.std().item() == pytest.approx(1, abs=0.01)


def test_images_are_resized_to_what_the_network_takes() -> None:
    images = squares(20)
    floats = Normalise.of(images)(tensor_of(images.batch(np.arange(20))[0]), 12)
    assert floats.shape == (20, 1, 12, 12)


def test_accuracy_counts_every_image_once() -> None:
    images = squares(1203)  # not a multiple of the evaluation's batch
    labels = torch.from_numpy(images.labels)

    class Oracle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen, self.unused = 0, nn.Linear(1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            right = nn.functional.one_hot(labels[self.seen : self.seen + len(x)], 2)
            if self.seen == 0:
                right[:3] = 1 - right[:3]  # three wrong answers
            self.seen += len(x)
            return right

    assert training(Oracle(), SHORT, images=images).accuracy(images) == pytest.approx(1200 / 1203)


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
        ("cutout", -1),
        ("mixup", -0.1),
        ("bn_momentum", 0.0),
        ("ema", 1.0),
        ("lr_decay", 0.0),
        ("lr_decay_epochs", 0.0),
    ],
)
def test_impossible_recipes_are_refused(key: str, value: float) -> None:
    with pytest.raises(InputError, match=f"^{key}: "):
        Recipe(**{key: value})  # type: ignore[arg-type]
