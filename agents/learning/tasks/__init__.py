"""Learning tasks, one a file: the loss that training lowers, local metrics, and the sums of the encrypted evaluation.

Nothing here imports torch before a loss is asked for: what every node must compute alike does without it.
"""

from __future__ import annotations

from agents.learning.tasks.binary import BinaryTask
from agents.learning.tasks.multiclass import MulticlassTask
from agents.learning.tasks.multitask import MultitaskTask
from agents.learning.tasks.port import Aim, Measure, Metrics, Task
from agents.learning.tasks.regression import RegressionTask
from agents.learning.tasks.survival import SurvivalTask
from agents.spec import BinarySpec, MulticlassSpec, MultitaskSpec, RegressionSpec, StudySpec

__all__ = ["Aim", "Measure", "Metrics", "Task", "open_task"]


def open_task(spec: StudySpec) -> Task:
    """The study's task."""
    task = spec.task
    if isinstance(task, BinarySpec):
        return BinaryTask()
    if isinstance(task, MulticlassSpec):
        return MulticlassTask(len(task.classes))
    if isinstance(task, MultitaskSpec):
        return MultitaskTask(len(task.targets))
    if isinstance(task, RegressionSpec):
        return RegressionTask(task)
    return SurvivalTask()
