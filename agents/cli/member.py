"""`defedbio member`: who is in the consortium, and votes on who is (R1)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from defedbio.cli.common import HOME, NETWORK, HomeOption, JsonOption, NetworkOption, PasswordFileOption, RpcOption, connect, emit, say
from defedbio.domain import MIN_COHORT
from defedbio.text import printable

if TYPE_CHECKING:
    from defedbio.client.members import Candidate, Consortium, Member, OwnVote, Party, Removal, Share, Voting

app = typer.Typer(help="Members of the consortium: list them and the open votes, vote to admit or to remove one.", no_args_is_help=True)
WhoArgument = Annotated[str, typer.Argument(metavar="WHO", help="Its address, or the name that it registered.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Vote without being asked; what the vote means is printed all the same.")]
MOST_CANDIDATES = 20  # anyone may register


@app.command("list")
def list_(home: HomeOption = HOME, network: NetworkOption = NETWORK, rpc: RpcOption = "", json: JsonOption = False) -> None:
    """Show members and the key shares they hold, open votes with who has voted, and who may be voted in. Needs no account."""
    found = connect(home, network, rpc).member.list()
    emit(found.as_dict(), json, _lines(found))


@app.command()
def admit(
    who: WhoArgument,
    yes: YesOption = False,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    password_file: PasswordFileOption = None,
    json: JsonOption = False,
) -> None:
    """Vote to admit a registered candidate: the votes of more than half of the members do. Shows first what the vote means, and asks.

    Anyone may register under any name: compare the address with the organisation itself, by another channel.
    """
    _vote(connect(home, network, rpc, password_file=password_file).member.admit(who, confirm=_confirm(yes, json)), json)


@app.command()
def remove(
    who: WhoArgument,
    yes: YesOption = False,
    even_if_needed: Annotated[
        bool, typer.Option("--even-if-needed", help="Also where the others hold fewer shares of a running study's key than open a sum.")
    ] = False,
    home: HomeOption = HOME,
    network: NetworkOption = NETWORK,
    rpc: RpcOption = "",
    password_file: PasswordFileOption = None,
    json: JsonOption = False,
) -> None:
    """Vote to remove a member: the votes of more than half of the members do. Shows first what the vote means, and asks.

    A removed member keeps its key shares and its seats in studies. A removal ends every open vote.
    """
    members = connect(home, network, rpc, password_file=password_file).member
    _vote(members.remove(who, confirm=_confirm(yes, json), even_if_needed=even_if_needed), json)


def _confirm(yes: bool, json: bool) -> Callable[[OwnVote], bool]:
    def confirm(asked: OwnVote) -> bool:
        lines = _meaning(asked)
        if not json:
            say(*lines)
        elif not yes:
            print(*map(printable, lines), sep="\n", file=sys.stderr)
        return yes or typer.confirm("Cast this vote? It cannot be taken back.", err=json)

    return confirm


def _vote(done: OwnVote, json: bool) -> None:
    if not done.done and not done.gas:
        raise typer.Exit(1)
    emit(done.as_dict(), json, _outcome(done))
    if not done.done:
        raise typer.Exit(1)


def _outcome(done: OwnVote) -> list[str]:
    voting, who = done.voting, _who(done.voting.subject)
    if not done.done:
        return ["the vote was cast, and does not count any more: somebody was removed meanwhile, which ended all votes. Vote anew"]
    cast = f"the vote is cast, gas {done.gas}" if done.gas else "this organisation's vote stands already; nothing was sent"
    if voting.carried:
        return [cast, f"{who} is {'a member' if voting.admit else 'no member any more'}, by the votes of {_all(voting.voters)}"]
    return [cast, *_progress(voting)]


def _meaning(asked: OwnVote) -> list[str]:
    voting = asked.voting
    lines = _progress(voting)
    if voting.admit:
        lines.append("  the name is what this account says of itself: compare the address with the organisation, by another channel")
        lines.append("  a member votes on others, opens studies, enrols where nobody is named as invited, and may be dealt shares of keys")
        lines += [f"  ANOTHER ACCOUNT CALLS ITSELF SO: {address}" for address in asked.namesakes]
        decided = "it is a member at once"
    else:
        decided = "it is removed at once"
    lines.append(f"  this vote is the one that decides: {decided}" if asked.carries else f"  missing after this vote: {voting.missing - 1}")
    return lines if asked.removal is None else lines + _consequences(asked.removal)


def _consequences(removal: Removal) -> list[str]:
    few = f", fewer than the {MIN_COHORT} of the smallest study" if removal.members < MIN_COHORT else ""
    lines = [f"  members that are left: {removal.members}{few}; other open votes that it ends, to be cast anew: {removal.votes}"]
    for share in removal.shares:
        lines.append(f"  it keeps its share of {_share(share)}")
    if removal.seats:
        lines.append(f"  it keeps its seat in {_studies(removal.seats)}")
    if removal.stranded:
        lines.append(f"  WITHOUT ITS SHARE NOTHING CAN BE OPENED in {_studies(removal.stranded)}")
    if removal.shares:
        lines.append("  nobody can take a share away: with enough other holders it can open sums as before (K1, K3). What to do:")
        lines.append(
            "    let the studies of these keys end, hold a ceremony among the members that stay, and open further studies under that key;"
        )
        lines.append("    ask it to erase its shares with `defedbio key destroy`")
    return lines


def _lines(found: Consortium) -> list[str]:
    lines = [f"{len(found.members)} members; the votes of {found.needed} admit or remove one"]
    for member in found.members:
        lines += _member(member)
    if len(found.members) <= MIN_COHORT:
        lines.append(f"without any one of them they are fewer than the {MIN_COHORT} of the smallest study")
    if any(member.shares for member in found.members):
        lines.append(
            "a removed member keeps its shares of keys and its seats in studies; see what a vote means with `defedbio member remove`"
        )
    if not found.votes:
        lines.append("no vote is open")
    for voting in found.votes:
        lines += _progress(voting)
    return lines + _candidates(found.candidates)


def _member(member: Member) -> list[str]:
    own = ", this organisation" if member.own else ""
    return [f"  {member.address}  {_name(member.name)}{own}", *(f"    share of {_share(share)}" for share in member.shares)]


def _candidates(candidates: Sequence[Candidate]) -> list[str]:
    if not candidates:
        return []
    shown = candidates[-MOST_CANDIDATES:]
    lines = ["registered, and not members (names are what accounts call themselves):"]
    if len(shown) < len(candidates):
        lines.append(f"  {len(candidates) - len(shown)} older ones, see --json")
    return lines + [f"  {one.address}  {_name(one.name)}{', a member once' if one.former else ''}" for one in shown]


def _progress(voting: Voting) -> list[str]:
    what = "admit" if voting.admit else "remove"
    lines = [f"vote to {what} {_who(voting.subject)}: {len(voting.voters)} of the {voting.needed} votes that it needs"]
    if voting.voters:
        lines.append(f"  voted: {_all(voting.voters)}")
        lines.append(f"  {voting.missing} missing, of: {_all(voting.wait)}")
    return lines


def _share(share: Share) -> str:
    state = share.status if share.confirmed or share.status != "proposed" else "proposed, which it has not confirmed"
    few = ", FEWER THAN NEEDED" if share.needed else ""
    opens = f"{share.threshold} of {share.holders} open a sum"
    return f"key epoch {share.epoch} ({state}): {opens}; left at members without it: {share.left_without}{few}"


def _studies(numbers: Sequence[int]) -> str:
    which = ", ".join(map(str, numbers))
    return f"study {which}, which is not complete" if len(numbers) == 1 else f"studies {which}, which are not complete"


def _all(parties: Sequence[Party]) -> str:
    return ", ".join(map(_who, parties)) or "nobody"


def _who(party: Party) -> str:
    return f"{_name(party.name)} {party.address}"


def _name(name: str) -> str:
    return name or "(no name)"
