"""Who is tried next. A controller sees integers, never a network."""

from controllers.base import Controller

CONTROLLERS = {
    "ppo": "controllers.ppo:PPO",
    "random": "controllers.random_search:RandomSearch",
    "evolution": "controllers.evolution:RegularizedEvolution",
    "exhaustive": "controllers.exhaustive:Exhaustive",
}

__all__ = ["CONTROLLERS", "Controller"]
