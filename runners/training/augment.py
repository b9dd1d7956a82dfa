"""From bytes to a batch that a network trains on: crops, flips, cutout, mixup, normalisation."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from runners.data.images import Bytes, Images


@dataclass(frozen=True, slots=True)
class Normalise:
    """Bytes to numbers of mean 0 and deviation 1, by the training images' own channels."""

    mean: Tensor  # [C]
    std: Tensor  # [C]

    @classmethod
    def of(cls, images: Images) -> "Normalise":
        """Measure up to 2,000 images, spread over the set."""
        some = np.unique(np.linspace(0, len(images) - 1, 2000).astype(np.int64))
        pixels = tensor_of(images.batch(some)[0]).float().div_(255)
        return cls(pixels.mean((0, 2, 3)), pixels.std((0, 2, 3)).clamp_min(1e-3))

    def __call__(self, images: Tensor, size: int) -> Tensor:
        """Map bytes `[B, C, H, W]` to floats `[B, C, size, size]`, channels last in memory."""
        # Repeated for each pixel: a CPU adds long rows at once, but three numbers at a time to each
        # pixel.
        mean, std = (t.to(images.device).repeat(size * size) for t in (self.mean, self.std))
        if images.shape[2:] != (size, size):
            pixels = (
                images if images.device.type == "cpu" else images.float()
            )  # on a GPU torch can't resize bytes
            shrunk = functional.interpolate(
                pixels, (size, size), mode="bilinear", antialias=True, align_corners=False
            )
            images = shrunk.round() if shrunk.is_floating_point() else shrunk
        rows = (
            images.permute(0, 2, 3, 1).flatten(1).float()
        )  # [B, size · size · C], as they lie in memory
        floats = rows.div_(255).sub_(mean).div_(std)
        return floats.view(-1, size, size, images.shape[1]).permute(0, 3, 1, 2)


def augment(
    images: Tensor, pad: int, flip: bool, generator: torch.Generator, cutout: int = 0
) -> Tensor:
    """Crop each image out of its padded self at a place of its own, mirror half of them, blacken a
    square of each.

    Args:
        images: bytes `[B, C, H, W]`.
        pad: black pixels on each side before the crop.
        flip: whether to mirror.
        generator: on the CPU; decides.
        cutout: pixels a side of the square, whose centre is anywhere in the image.
    """
    count, channels, height, width = images.shape
    sides = images.permute(0, 2, 3, 1)[None]  # [1, B, H, W, C], as they lie in memory
    side = top = left = torch.zeros(count, dtype=torch.int64)
    if pad:
        top, left = torch.randint(0, 2 * pad + 1, (2, count), generator=generator)
        sides = functional.pad(sides, (0, 0, pad, pad, pad, pad))
    if flip:
        side = (torch.rand(count, generator=generator) < 0.5).long()
        left = torch.where(side > 0, 2 * pad - left, left)
        sides = torch.cat((sides, sides.flip(3)))
    if pad or flip:
        lines = sides.flatten().unfold(
            0, width * channels, channels
        )  # of a crop's width, from each pixel on
        first = ((side * count + torch.arange(count)) * sides.shape[2] + top) * sides.shape[
            3
        ] + left
        begin = first[:, None] + torch.arange(height) * sides.shape[3]  # [B, H], in pixels
        on_cpu = (
            images.device.type == "cpu"
        )  # where NumPy copies a line at once, and torch number by number
        crops = (
            torch.from_numpy(lines.numpy()[begin.numpy()])
            if on_cpu
            else lines[begin.to(images.device)]
        )
        images = crops.view(count, height, width, channels).permute(0, 3, 1, 2)
    if cutout:
        top = torch.randint(0, height, (count, 1), generator=generator) - cutout // 2
        left = torch.randint(0, width, (count, 1), generator=generator) - cutout // 2
        rows = (top <= torch.arange(height)) & (torch.arange(height) < top + cutout)  # [B, H]
        columns = (left <= torch.arange(width)) & (torch.arange(width) < left + cutout)  # [B, W]
        black = (rows[:, None, :, None] & columns[:, None, None, :]).to(images.device)
        images = images.masked_fill(black, 0)
    return images


def partners(count: int, alpha: float, generator: torch.Generator) -> tuple[Tensor, float]:
    """Return with which image of the batch each is mixed, `[B]`, and the share that all keep, of
    Beta(α, α).
    """
    rng = np.random.default_rng(
        int(torch.randint(2**62, (), generator=generator))
    )  # torch's beta takes no generator
    return torch.from_numpy(rng.permutation(count)), float(rng.beta(alpha, alpha))


def tensor_of(pixels: Bytes) -> Tensor:
    """View bytes `[B, H, W, C]` as `[B, C, H, W]`, channels last in memory."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)
