"""What can be built, and what it costs. Imports none of the other rooms; torch only in
`network`.
"""

from search_space.architecture import Architecture, Block, Stage
from search_space.cost import Cost
from search_space.errors import InputError
from search_space.space import Decision, Genotype, Space

SPACES = {
    "mnasnet": "search_space.mnasnet:imagenet",
    "mnasnet-small": "search_space.mnasnet:small",
    "mnasnet-tiny": "search_space.mnasnet:tiny",
    "accel-nasbench": "search_space.public_benchmarks:accel_nasbench",
    "nas-bench-macro": "search_space.public_benchmarks:nas_bench_macro",
    "scaling": "search_space.scaling_space:scaling",
}

__all__ = [
    "SPACES",
    "Architecture",
    "Block",
    "Cost",
    "Decision",
    "Genotype",
    "InputError",
    "Space",
    "Stage",
]
