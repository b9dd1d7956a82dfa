"""Who is tried next. A controller sees integers, never a network."""

from controllers.base import Controller, Problem, Weighed

CONTROLLERS = {
    "bayesian": "controllers.bayesian:Bayesian",
    "ppo": "controllers.ppo:PPO",
    "ppo-mnasnet": "controllers.ppo:mnasnet",
    "random": "controllers.random_search:RandomSearch",
    "evolution": "controllers.evolution:RegularizedEvolution",
    "local-search": "controllers.local_search:LocalSearch",
    "optuna": "controllers.optuna_sampler:OptunaSampler",
    "exhaustive": "controllers.exhaustive:Exhaustive",
}

__all__ = ["CONTROLLERS", "Controller", "Problem", "Weighed"]
