"""The privacy budget: charged before a record is touched, declared on the chain before the update is committed to.

What is charged is what was published: of a round that ended before this node revealed its update, a commitment is all that left
it, and the charge is free for the next round. Once it was published, the charge stays, whatever becomes of the round: a ciphertext cannot
be called back, and the budget must hold against whoever opens it one day (decision 0054). A journal that was restored from a backup
does not know what was published after it: there every round in which the chain shows a declaration or a commitment of this organisation is
charged and stays so (C7).
"""

from __future__ import annotations

from defedbio.chain.bindings.round_manager import RoundManager
from defedbio.errors import InvalidData
from defedbio.learning.privacy.budget import loss_after
from defedbio.protocol import catalogue as kinds
from defedbio.protocol.past import PastRound
from defedbio.protocol.tools import Tools
from defedbio.protocol.view import RoundView, StudyView


def charge(tools: Tools, study: StudyView, view: RoundView) -> None:
    """Journal that this round's training is paid for; once a round, whatever becomes of this process.

    Raises:
        InvalidData: if the study's budget does not cover another round.
    """
    privacy = tools.frame.privacy(view)
    if privacy is None:
        return
    charged = _charged(tools)
    if _name(view) in charged:
        return
    charged += [name for r in _unaccounted(tools, study) if (name := _name(r)) not in charged]
    rounds: list[RoundView | PastRound] = [*study.past.rounds.values(), *(r for r in study.rounds.values() if r.phase.ended)]
    ended = {_name(r): r for r in rounds}
    charged = [name for name in charged if name not in ended or _published(tools, ended[name]) or tools.unaccounted(ended[name])]
    total = loss_after(tools.frame.spec, len(charged) + 1).epsilon_total
    # A loss or a budget that is no number is a budget that is spent.
    if not total <= privacy.epsilon:
        raise InvalidData(
            f"the privacy budget is spent: another round makes epsilon {total:.4g}, and the study allows {privacy.epsilon:g}",
            "nothing to do: this organisation's records have told as much as was agreed",
        )
    tools.memory.put(kinds.CHARGED, None, {"rounds": [*charged, _name(view)]})


def publishing(tools: Tools, study: StudyView, view: RoundView) -> None:
    """Journal that this round's update is about to leave the node: from now on its charge stays.

    Raises:
        InvalidData: if the charge was given to another round, which a reorganisation can bring about, and there is no budget for both.
    """
    if tools.frame.privacy(view) is None:
        return
    charge(tools, study, view)
    tools.memory.put(kinds.PUBLISHED, view, {"published": True})


def declare(tools: Tools, view: RoundView) -> None:
    """Write this round's and the total loss on the chain."""
    count = _charged(tools).index(_name(view)) + 1
    loss = loss_after(tools.frame.spec, count)
    key = f"round/{view.id}/privacy/{count}"
    tools.send(RoundManager.declare_privacy(key, view.id, loss.epsilon_round, loss.epsilon_total, loss.delta), round=view.id)
    tools.report.note(f"privacy: epsilon {loss.epsilon_total:.4g} so far, at delta {loss.delta:g}", round=view.id)


def _unaccounted(tools: Tools, study: StudyView) -> list[RoundView | PastRound]:
    """The rounds from before a restore in which this organisation may have published an update, by what the chain shows of it."""
    position = study.participants.index(tools.address) if tools.address in study.participants else None
    mine: list[RoundView | PastRound] = [r for r in study.past.rounds.values() if position is not None and position in r.acted]
    mine += [r for _, r in sorted(study.rounds.items()) if tools.address in r.privacy or tools.address in r.commitments]
    return [r for r in mine if tools.unaccounted(r) and tools.frame.privacy(r) is not None]


def _published(tools: Tools, view: RoundView | PastRound) -> bool:
    return tools.memory.get(kinds.PUBLISHED, view) is not None


def _charged(tools: Tools) -> list[str]:
    """The rounds for which this organisation trained, in their order."""
    return list((tools.memory.get(kinds.CHARGED) or {"rounds": []})["rounds"])


def _name(view: RoundView | PastRound) -> str:
    """A round number that a reorganisation gave to another step is another round."""
    return f"{view.id}/{view.start}"
