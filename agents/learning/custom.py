"""Torch modules that operators write themselves: from source text that was read and allowed to a maker of modules."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib.abc import SourceLoader
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

from defedbio.errors import InvalidInput
from defedbio.spec import StudySpec

Maker = Callable[[StudySpec], "torch.nn.Module"]


def load_module(source: bytes, name: str) -> Maker:
    """The function `build(spec) -> torch.nn.Module` that the source defines. Runs the source: only for code that the operator allowed.

    Raises:
        InvalidInput: if the source is not Python that runs, or defines no such function.
    """
    loader = _Bytes(source, name)
    spec = importlib.util.spec_from_loader("defedbio_custom_module", loader)
    if spec is None:
        raise InvalidInput(f"the module {name} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    try:
        loader.exec_module(module)
    except Exception as error:
        raise InvalidInput(f"the module {name} does not run: {type(error).__name__}", "try it with `python` first") from error
    build = getattr(module, "build", None)
    if not callable(build):
        raise InvalidInput(f"the module {name} defines no function build(spec)", "return a torch.nn.Module from it")
    maker: Maker = build
    return maker


class _Bytes(SourceLoader):
    """Runs exactly the bytes that were hashed: a file could change between hashing and importing."""

    def __init__(self, source: bytes, name: str) -> None:
        self._source, self._name = source, name

    def get_data(self, path: str) -> bytes:
        return self._source

    def get_filename(self, fullname: str) -> str:
        return f"<allowed module {self._name}>"
