"""SCAFFOLD (Karimireddy et al. 2020, algorithm 1, option II): control variates take the organisations' drift out of their updates.

Each organisation keeps its own variate c_i and never shows it; the differences, encrypted like the updates, move the server's c.
"""

from __future__ import annotations

import numpy as np

from defedbio.learning.strategies.fedavg import FedAvg
from defedbio.learning.strategies.port import Float64


class Scaffold(FedAvg):
    memory: tuple[str, ...] = ("control",)


def server_control(control: Float64, differences: Float64, organisations: int) -> Float64:
    """c + sum of the differences / number of enrolled organisations (equation 5), float64 [P]."""
    return np.add(control, np.divide(differences, float(organisations)))


def own_control(own: Float64, control: Float64, update: Float64, steps: int, learning_rate: float) -> Float64:
    """c_i - c + (x - y_i) / (steps * learning rate) (equation 4, option II), float64 [P]; `update` is y_i - x."""
    return own - control - update / (steps * learning_rate)
