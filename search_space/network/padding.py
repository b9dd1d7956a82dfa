"""TensorFlow's "SAME" padding."""

from torch import Tensor
from torch.nn import functional


def pad_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Pad `[N, C, H, W]` so that a square convolution makes ⌈H/s⌉ × ⌈W/s⌉ of it; what is odd goes
    right and down.
    """
    pads: list[int] = []
    for size in x.shape[:1:-1]:
        total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
        pads += [total // 2, total - total // 2]
    return functional.pad(x, pads)
