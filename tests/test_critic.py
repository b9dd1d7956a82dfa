"""The baseline of each decision: fair whatever was told, right where rewards add up."""

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from controllers.critic import Critic

SIZES = (3, 2, 4)
GENOTYPES = list(itertools.product(*map(range, SIZES)))
UNIFORM = torch.tensor(
    [[1 / size if choice < size else 0.0 for choice in range(max(SIZES))] for size in SIZES]
)


@given(
    told=st.lists(st.tuples(st.sampled_from(GENOTYPES), st.floats(-1, 1)), min_size=1, max_size=30),
    one=st.sampled_from(GENOTYPES),
    decision=st.integers(0, 2),
    data=st.data(),
)
def test_no_answer_moves_its_own_baseline_so_the_gradient_has_no_bias(
    told: list[tuple[tuple[int, ...], float]],
    one: tuple[int, ...],
    decision: int,
    data: st.DataObject,
) -> None:
    """The baseline, reward less advantage, of a decision is a function of the other
    answers alone.
    """
    critic = Critic(SIZES)
    for genotype, reward in told:
        critic.tell(genotype, reward)
    other = (*one[:decision], data.draw(st.integers(0, SIZES[decision] - 1)), *one[decision + 1 :])
    rewards = torch.tensor([0.3, -0.8])
    advantages = critic.advantages(torch.tensor([one, other]), rewards, UNIFORM)
    baselines = rewards[:, None] - advantages
    assert torch.allclose(baselines[0, decision], baselines[1, decision], atol=1e-5)


def test_where_answers_add_up_each_decision_is_praised_for_its_own_answer_alone() -> None:
    worth = [
        torch.tensor([0.0, 0.1, 0.2]),
        torch.tensor([0.0, 1.0]),
        torch.tensor([0.0, 0.0, 0.3, 0.3]),
    ]
    critic = Critic(SIZES)

    def reward(genotype: tuple[int, ...]) -> float:
        return 5.0 + float(
            sum(effects[answer] for effects, answer in zip(worth, genotype, strict=True))
        )

    for genotype in GENOTYPES * 200:  # so often that the penalty counts little
        critic.tell(genotype, reward(genotype))
    advantages = critic.advantages(
        torch.tensor(GENOTYPES), torch.tensor(list(map(reward, GENOTYPES))), UNIFORM
    )
    expected = [
        [effects[a] - effects.mean() for effects, a in zip(worth, g, strict=True)]
        for g in GENOTYPES
    ]
    assert torch.allclose(advantages, torch.tensor(expected), atol=2e-3)
