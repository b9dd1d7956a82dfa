"""The tables of a configuration that describe no component: `[search]` and `[log]`."""

from dataclasses import dataclass

from search_space.errors import require


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The `[search]` table: the loop itself."""

    trials: int
    window: int = 8  # trials asked beyond the last one told; 4 × workers keeps them busy
    seed: int = 0
    retries: int = 2  # how often a job is run again that its machine, not its network, failed
    reuse: bool = True  # tell the result again when a network comes up twice, and train it once
    # end children not expected to reach this share of the rewards told; see mnas/engine/stopping.py
    stop_below: float = 0.0
    init: str | list[str | list[int]] = ()  # type: ignore[assignment]  # networks to begin with; see mnas/engine/init.py

    def __post_init__(self) -> None:
        require(self.trials >= 1, "trials", self.trials, "1 or more")
        require(self.window >= 1, "window", self.window, "1 or more")
        require(0 <= self.seed < 2**63, "seed", self.seed, "0 to below 2^63")
        require(self.retries >= 0, "retries", self.retries, "0 or more")
        require(
            0 <= self.stop_below < 1,
            "stop_below",
            self.stop_below,
            "0 (no early stopping) to below 1",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Views:
    """The `[log]` table: what a search writes beside its journal."""

    tensorboard: bool = False  # scalars in RUN/tensorboard
