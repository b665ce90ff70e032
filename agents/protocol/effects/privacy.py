"""The privacy budget: charged before a record is touched, declared on the chain before the update is committed to."""

from __future__ import annotations

from defedbio.chain.bindings.round_manager import RoundManager
from defedbio.errors import InvalidData
from defedbio.learning.privacy.budget import loss_after
from defedbio.protocol.tools import Tools
from defedbio.protocol.view import RoundView

_CHARGED = "study/privacy"


def charge(tools: Tools, view: RoundView) -> None:
    """Journal that this round's training is paid for; once a round, whatever becomes of the round or of this process.

    Raises:
        InvalidData: if the study's budget does not cover another round.
    """
    privacy = tools.frame.privacy(view)
    if privacy is None:
        return
    charged = _charged(tools)
    if view.id in charged:
        return
    total = loss_after(tools.frame.spec, len(charged) + 1).epsilon_total
    if total > privacy.epsilon:
        raise InvalidData(
            f"the privacy budget is spent: another round makes epsilon {total:.4g}, and the study allows {privacy.epsilon:g}",
            "nothing to do: this organisation's records have told as much as was agreed",
        )
    tools.journal.put(_CHARGED, {"rounds": [*charged, view.id]})


def declare(tools: Tools, view: RoundView) -> None:
    """Write this round's and the total loss on the chain."""
    charged = _charged(tools)
    loss = loss_after(tools.frame.spec, charged.index(view.id) + 1)
    declaration = RoundManager.declare_privacy(f"round/{view.id}/privacy", view.id, loss.epsilon_round, loss.epsilon_total, loss.delta)
    tools.send(declaration, round=view.id)
    tools.report.note(f"privacy: epsilon {loss.epsilon_total:.4g} so far, at delta {loss.delta:g}", round=view.id)


def _charged(tools: Tools) -> list[int]:
    """The rounds for which this organisation trained, in their order."""
    return list((tools.journal.get(_CHARGED) or {"rounds": []})["rounds"])
