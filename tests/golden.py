"""Published networks, counted independently of mnas.

Measured with timm 1.0.29 and fvcore 0.1.5 (rows `conv` and `linear`) on the released networks at
their native resolution; state-dict keys are timm's.
"""

from typing import NamedTuple


class Golden(NamedTuple):
    params: int
    macs: int
    keys: int


ZOO = {
    "mobilenet-v2": Golden(3_504_872, 300_774_272, 314),
    "mnasnet-a1": Golden(3_887_038, 311_579_072, 328),
    "mnasnet-b1": Golden(4_383_312, 314_415_872, 314),
    "efficientnet-b0": Golden(5_288_548, 385_814_752, 360),
    "efficientnet-lite0": Golden(4_652_008, 385_187_552, 296),
}
SCALED = {
    "b0": Golden(5_288_548, 385_814_752, 360),
    "b1": Golden(7_794_184, 686_802_832, 508),
    "b4": Golden(19_341_616, 4_393_771_024, 706),
    "b7": Golden(66_347_960, 37_745_884_192, 1200),
}
