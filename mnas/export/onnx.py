"""ONNX out: through torch's exporter, then run by onnxruntime and compared before it is called
done.
"""

import logging
from pathlib import Path

import torch
from torch import Tensor

from runners.files import replacing
from search_space import InputError
from search_space.network.build import Network

TOLERANCE = 1e-4  # of the largest logit


def export(network: Network, path: Path) -> float:
    """Write `network`, in evaluation mode, to `path`; input `images` `[batch, C, H, W]`, output
    `logits`.

    Returns:
        The largest difference between onnxruntime's and PyTorch's logits on random images, as a
        share of the largest logit.

    Raises:
        InputError: when the extra `onnx` is not installed, or the outputs differ by more than
            TOLERANCE.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # torch's exporter needs it, and says so late
    except ImportError as error:
        raise InputError(f"onnx: {error.name} is not installed; pip install 'mnas[onnx]'") from None
    network = network.eval()
    shape = (
        network.architecture.in_channels,
        network.architecture.resolution,
        network.architecture.resolution,
    )
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    program = torch.onnx.export(
        network,
        (torch.zeros(2, *shape),),
        dynamo=True,
        verbose=False,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes={"x": {0: torch.export.Dim("batch")}},
    )
    assert program is not None
    images = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(images)
    with replacing(path) as temporary:
        program.save(temporary)
        session = onnxruntime.InferenceSession(temporary, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"images": images.numpy()})
        return _difference(torch.from_numpy(found), expected, path)


def _difference(found: Tensor, expected: Tensor, path: Path) -> float:
    difference: float = ((found - expected).abs().max() / expected.abs().max()).item()
    if not difference < TOLERANCE:
        raise InputError(
            f"{path}: onnxruntime's logits differ from PyTorch's "
            f"by {difference:.2g}; nothing was written"
        )
    return difference
