"""A study in words, for those who are to accept it."""

from __future__ import annotations

from defedbio.learning.parameters import count
from defedbio.spec import StudySpec, SumPrivacy


def describe(study: int, spec: StudySpec) -> str:
    """What an operator must know before it accepts."""
    features = spec.features
    layers = " -> ".join(map(str, (features.width, *(spec.model.hidden or spec.model.channels), spec.task.outputs)))
    return "\n".join(
        (
            f"study {study}: {spec.name}",
            *([f"  {spec.description}"] if spec.description else []),
            f"  target     {spec.task.kind} {', '.join(map(repr, spec.task.columns[:3]))}",
            f"  features   {features.in_words}{', standardised over all organisations' if spec.standardise else ''}",
            f"  model      {spec.model.kind} {layers}, {count(spec)} parameters",
            f"  training   {spec.rounds} rounds of {spec.training.steps} steps, batch {spec.training.batch_size}, "
            f"{spec.training.optimizer} {spec.training.learning_rate}, {spec.strategy.kind}",
            f"  leaves     one update a round, encrypted with a {spec.modulus_bits}-bit key of epoch {spec.key_epoch}, clipped to norm "
            f"{spec.quantisation.clip_norm}; the sum of at least {spec.minimum} is opened",
            f"  who        {_who(spec)}",
            f"  weighting  {'equal' if spec.uniform_weights else f'by sample count up to {spec.weight_cap}, itself encrypted'}",
            f"  privacy    {_privacy(spec)}",
        )
    )


def _who(spec: StudySpec) -> str:
    if not spec.invited:
        return f"any member of the consortium may take one of {spec.seats} seats"
    return f"{spec.seats} seats, only for {', '.join(spec.invited)}"


def _privacy(spec: StudySpec) -> str:
    if spec.privacy is None:
        return "encryption only: no differential privacy in this study"
    agreed = spec.privacy
    budget = f"this node sits out the round that would exceed epsilon {agreed.epsilon:g} at delta {agreed.delta:g}"
    if isinstance(agreed, SumPrivacy):
        return (
            f"for all data of an organisation: noise of {agreed.noise_multiplier:g} clip norms on the sum, even if only {agreed.honest} "
            f"of a round's organisations are honest; {budget}"
        )
    return f"DP-SGD for each record: noise {agreed.noise_multiplier:g}, gradients clipped to {agreed.max_grad_norm:g}; {budget}"
