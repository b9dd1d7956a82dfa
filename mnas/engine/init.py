"""The networks that a search begins with: published ones, specs, or the best of an earlier run."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from mnas.analysis.recommend import promising
from mnas.config import Config
from mnas.export import spec as export
from mnas.journal.reader import read
from search_space import Architecture, Genotype, InputError, Space
from search_space.errors import require_known
from search_space.zoo import ZOO

FROM_RUN = 10  # networks taken from an earlier run, the most promising


def genotypes(config: Config, space: Space) -> list[Genotype]:
    """Return the genotypes of `[search] init`: names of published networks, specs, runs, and
    genotypes as they are.

    Of a run's networks those that lie in the space are taken, and one must.

    Raises:
        InputError: naming what is no such thing, or lies outside the space and where.
    """
    said = config.settings().init
    found: list[Genotype] = []
    for item in [said] if isinstance(said, str) else said:
        try:
            found += [_checked(space, item)] if isinstance(item, list) else _encoded(space, item)
        except InputError as error:
            raise error.at("search.init: ") from None
    return list(dict.fromkeys(found))


def planted(config: Config, space: Space) -> Config:
    """Return the configuration with `[search] init` as genotypes: what a resume begins with again,
    whatever changed.
    """
    seeds = genotypes(config, space)
    if not seeds:
        return config
    search = config.tables["search"] | {"init": [list(genotype) for genotype in seeds]}
    return replace(config, tables=config.tables | {"search": search})


def _checked(space: Space, genotype: Iterable[int]) -> Genotype:
    space.decode(tuple(genotype))
    return tuple(genotype)


def _encoded(space: Space, name: str) -> list[Genotype]:
    path = Path(name)
    if path.is_dir():
        log = read(path)
        outside = InputError(f"{name}: no trial has an accuracy yet")
        inside = []
        for row in promising(log, FROM_RUN):
            try:
                inside.append(space.encode(log.architecture(row.trial)))
            except InputError as error:
                outside = error.at(f"{name}: ")
        if not inside:
            raise outside
        return inside
    architecture: Architecture
    if path.is_file():
        architecture = export.architecture(export.read(path))
    else:
        require_known(name, ZOO, owner="it")
        architecture = ZOO[name]
    try:
        return [space.encode(architecture)]
    except InputError as error:
        raise error.at(f"{name}: ") from None
