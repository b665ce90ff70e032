"""P4: what others posted as the product of the frozen set, where it is not what this node computed."""

from __future__ import annotations

from defedbio.chain.bindings.round_manager import RoundManager
from defedbio.chain.values import WrongProduct
from defedbio.crypto import numbers, wrong_product
from defedbio.crypto.wrong_product import Value, WrongStep
from defedbio.errors import BlobUnavailable, PeerFault
from defedbio.protocol import catalogue as kinds
from defedbio.protocol.effects.updates import load_updates
from defedbio.protocol.tools import Tools
from defedbio.protocol.view import Pair, RoundView

MAX_SHOWN_MODULUS_BITS = 4096  # MODEXP takes no longer squares (EIP-7823)
_NOTHING = Value(b"", ())


def weigh(tools: Tools, view: RoundView, pair: Pair) -> None:
    """Find where the product of this root and CID is wrong and show it on the chain, which names its posters. What cannot be had, or does
    not say what its root is made of, stays out-voted. Each is looked at once."""
    post = next(post for post in view.aggregates if post.pair == pair)
    key = tools.frame.key.public_key
    try:
        with tools.report.phase("verify-product", round=view.id):
            claimed, updates = tools.fetcher.aggregate(view, post), load_updates(tools, view, view.frozen_reveals())
            step = wrong_product.find(updates, claimed, post.root, key)
    except BlobUnavailable as error:
        tools.report.note(
            f"another product than this node's was posted, and not delivered: {error.message}", round=view.id, peer=post.sender
        )
    except PeerFault as error:
        tools.report.note(f"another product than this node's was posted: {error.message}", round=view.id, peer=post.sender)
    else:
        _tell(tools, view, post.sender, step)
        if step is not None and (step.before is None or key.bits <= MAX_SHOWN_MODULUS_BITS):
            # On the chain first, as with a wrong share: a node killed in between finds the same again, and the same key sends it once.
            shown = RoundManager.show_wrong_product(
                f"round/{view.id}/wrong-product/{post.root.hex()}", view.id, post.root, _shown(tools, view, step)
            )
            tools.send(shown, round=view.id)
    tools.memory.enlist(kinds.WEIGHED_PRODUCTS, view, [pair[0].hex(), pair[1]])


def weighed(tools: Tools, view: RoundView) -> frozenset[Pair]:
    """The roots and CIDs of others that this node has looked at."""
    return frozenset((bytes.fromhex(root), cid) for root, cid in tools.memory.listed(kinds.WEIGHED_PRODUCTS, view))


def _tell(tools: Tools, view: RoundView, poster: str, step: WrongStep | None) -> None:
    where = f"wrong at ciphertext {step.ciphertext}, update {step.position}" if step else "and its blob does not say how it was made"
    tools.report.note(f"another product than this node's was posted, {where}", round=view.id, peer=poster)


def _shown(tools: Tools, view: RoundView, step: WrongStep) -> WrongProduct:
    key, update = tools.frame.key.public_key, view.frozen_reveals()[step.position - 1]
    before = step.before or _NOTHING
    return WrongProduct(
        participant=update.participant,
        update_root=update.update_root,
        cid=update.cid,
        proof_hash=update.proof_hash,
        salt=update.salt,
        ciphertext=step.ciphertext,
        factor=step.factor.encoded,
        factor_path=step.factor.path,
        before=before.encoded,
        before_path=before.path,
        product=step.product.encoded,
        product_path=step.product.path,
        modulus=numbers.to_bytes(key.n, key.modulus_bytes) if step.before else b"",
    )
