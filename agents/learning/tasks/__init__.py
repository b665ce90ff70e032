"""Learning tasks, one a file: the loss that training lowers and the metrics that evaluation reports."""

from __future__ import annotations

from agents.errors import InvalidSpec
from agents.learning.tasks.binary import BinaryTask
from agents.learning.tasks.port import Metrics, Task
from agents.spec import StudySpec

__all__ = ["Metrics", "Task", "open_task"]


def open_task(spec: StudySpec) -> Task:
    """The study's task.

    Raises:
        InvalidSpec: if this version has no such task.
    """
    if spec.task.kind != "binary":
        raise InvalidSpec(f"this version has no task of kind {spec.task.kind!r}")
    return BinaryTask()
