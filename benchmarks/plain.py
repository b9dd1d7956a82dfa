"""What most people write, for the benchmarks to run beside ours: images one by one, and torch's own
layers.
"""

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.utils.data import Dataset

from runners.data.images import Images
from runners.training.augment import Normalise
from runners.training.recipe import Recipe
from runners.training.vector import is_weight
from search_space.network.build import BatchNorm2d, ChannelMeans, PointwiseConv2d, SqueezeExcite
from search_space.network.depthwise import DepthwiseConv2d


class PerImage(Dataset[tuple[Tensor, int]]):
    """Crop and flip one PIL image at a time; to floats at once, or as bytes that are normalised a
    batch at a time.
    """

    def __init__(
        self,
        images: Images,
        normalise: Normalise,
        size: int,
        *,
        pad: int = 4,
        flip: bool = True,
        floats: bool,
    ) -> None:
        self.pixels, self.labels = images.batch(np.arange(len(images)))
        self.mean, self.std = (t[:, None, None] for t in (normalise.mean, normalise.std))
        self.size, self.pad, self.flip, self.floats = size, pad, flip, floats

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.pixels[index].squeeze())
        left, top = np.random.randint(0, 2 * self.pad + 1, 2)
        image = ImageOps.expand(image, self.pad).crop(
            (left, top, left + image.width, top + image.height)
        )
        if self.size != image.width:
            image = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        if self.flip and np.random.rand() < 0.5:
            image = ImageOps.mirror(image)
        pixels = (
            torch.from_numpy(np.array(image)).view(image.height, image.width, -1).permute(2, 0, 1)
        )
        if self.floats:
            pixels = (pixels.contiguous().float().div(255) - self.mean) / self.std
        return pixels, int(self.labels[index])


class _Means(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=True)


class _SqueezeExcite(SqueezeExcite):
    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.conv_expand(self.act1(self.conv_reduce(self.pool(x))))
        return x * gate.sigmoid()


def optimizer_of(network: nn.Module, recipe: Recipe, *, fused: bool = False) -> torch.optim.SGD:
    """Return the recipe's SGD of a network, layer by layer; unless `fused` as torch makes it on a
    CPU.
    """
    decayed = [p for p in network.parameters() if is_weight(p)]
    spared = [p for p in network.parameters() if not is_weight(p)]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    momentum = recipe.momentum
    return torch.optim.SGD(
        groups, lr=recipe.lr, momentum=momentum, nesterov=momentum > 0, fused=fused
    )


def plainly(network: nn.Module, *, strips: bool = False) -> nn.Module:
    """Make the network of torch's own layers, as it is written elsewhere; but for depthwise ones
    where `strips`.
    """
    for layer in list(network.modules()):
        if isinstance(layer, PointwiseConv2d) or (
            isinstance(layer, DepthwiseConv2d) and not strips
        ):
            layer.__class__ = nn.Conv2d
        elif isinstance(layer, BatchNorm2d):
            layer.__class__ = nn.BatchNorm2d
        elif isinstance(layer, ChannelMeans):
            layer.__class__ = _Means
        elif isinstance(layer, SqueezeExcite):
            layer.__class__ = _SqueezeExcite
        elif isinstance(layer, nn.SiLU):
            layer.inplace = True
    return network
