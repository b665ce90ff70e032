"""Learning tasks, one a file: the loss that training lowers, local metrics, and the sums of the encrypted evaluation.

Nothing here imports torch before a loss is asked for: what every node must compute alike does without it.
"""

from __future__ import annotations

from defedbio.learning.tasks.binary import BinaryTask
from defedbio.learning.tasks.multiclass import MulticlassTask
from defedbio.learning.tasks.multitask import MultitaskTask
from defedbio.learning.tasks.port import Aim, Measure, Metrics, Task
from defedbio.learning.tasks.regression import RegressionTask
from defedbio.learning.tasks.survival import SurvivalTask
from defedbio.spec import BinarySpec, MulticlassSpec, MultitaskSpec, RegressionSpec, StudySpec

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
