"""The packages of the wheel: the folder agents/ is imported as `defedbio`, ipfs/ as `defedbio.ipfs`. All else is in pyproject.toml."""

from setuptools import find_packages, setup

setup(packages=["defedbio", *(f"defedbio.{name}" for name in find_packages("agents")), "defedbio.ipfs"])
