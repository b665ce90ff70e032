"""Each public method shows a call of itself, and the errors' example does what it says."""

from __future__ import annotations

import ast
import inspect
import textwrap
from types import SimpleNamespace
from typing import Any

import pytest

from defedbio import Client, RunOptions, errors
from defedbio.errors import BlobMismatch, ChainUnreachable, ContractRefused, DefedError, NotFound

GROUPS = ("account", "ipfs", "member", "ceremony", "key", "study", "module", "data", "model", "audit", "explorer", "round")


def public(owner: type) -> list[str]:
    return [name for name, member in vars(owner).items() if inspect.isfunction(member) and not name.startswith("_")]


METHODS = [f"client.{name}" for name in public(Client)]
METHODS += [f"client.{group}.{name}" for group in GROUPS for name in public(type(getattr(Client(), group)))]


def example_of(documented: object) -> str:
    found = inspect.getdoc(documented) or ""
    assert "\nExample:\n" in found, "help() shows how to call it"
    return textwrap.dedent(found.partition("\nExample:\n")[2])


@pytest.mark.parametrize("name", METHODS)
def test_a_method_shows_a_call_of_itself(name: str) -> None:
    method = Client()
    for part in name.split(".")[1:]:
        method = getattr(method, part)
    tree = ast.parse(example_of(method))
    calls = {ast.unparse(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    spelled = name if name in calls else f"Client(password_file='password').{name.removeprefix('client.')}"
    call = calls[spelled]
    given: dict[str | None, Any] = {keyword.arg: keyword.value for keyword in call.keywords}
    inspect.signature(method).bind(*call.args, **{str(word): value for word, value in given.items()})
    assert 1 <= len(ast.unparse(tree).splitlines()) <= 4


def test_the_options_show_themselves() -> None:
    (call,) = (n for n in ast.walk(ast.parse(example_of(RunOptions))) if isinstance(n, ast.Call) and ast.unparse(n.func) == "RunOptions")
    assert RunOptions(**{str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}).threads == 4


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (None, "joined"),
        (ContractRefused("StudyRegistryEnrolmentClosed", (1,)), "too late"),
        (BlobMismatch("another spec", peer="0xA1"), "ask 0xA1 what it published"),
        (BlobMismatch("another spec"), "ask the coordinator what it published"),
        (ChainUnreachable("no answer"), "try again later"),
        (NotFound("no account", "run `defedbio account new` first"), "ours to put right: run `defedbio account new` first"),
    ],
)
def test_the_errors_example_tells_them_apart(raised: DefedError | None, said: str) -> None:
    def join(study: int, accept: bool) -> None:
        if raised is not None:
            raise raised

    assert joined(join) == said


def test_the_errors_example_lets_out_what_it_does_not_expect() -> None:
    def join(study: int, accept: bool) -> None:
        raise ContractRefused("StudyRegistryNotMember")

    with pytest.raises(ContractRefused):
        joined(join)


def joined(join: Any) -> Any:
    _, _, text = (errors.__doc__ or "").partition("\nExample")
    names = dict(vars(errors))
    exec(textwrap.dedent(text.partition("\n\n")[2]), names)  # noqa: S102
    return names["joined"](SimpleNamespace(study=SimpleNamespace(join=join)), 1)
