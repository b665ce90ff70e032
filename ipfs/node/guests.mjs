/**
 * What guests may ask and send: together no more bytes a second than members hardly notice, each guest its part of them, in the order in
 * which it asked. A node that knows no members treats all alike.
 */
const BLOCK_BYTES = 256 * 1024
const BYTES_PER_SECOND = 4 * 1024 * 1024
// Entries of a want list that are looked at together, and those of one guest that may wait: a fetch asks for a dozen at a time.
const AT_ONCE = 16
const MOST_WAITING = 1024
const SMALL_BLOCK_BYTES = 1024 // who is asked whether it has such a block sends it at once

/** `askedOf` tells how many blocks a peer was asked for that are not here yet. */
export function restrainGuests (bitswap, libp2p, members, askedOf) {
  const lists = bitswap.peerWantLists
  const guest = (peer) => members.known && !members.has(peer)
  const serve = lists.receiveMessage.bind(lists)
  const shares = new Shares()

  lists.receiveMessage = (peer, message) => {
    if (!guest(peer)) return serve(peer, message)
    const entries = message.wantlist?.entries ?? []
    const share = shares.of(peer)
    if (share.waiting + entries.length > MOST_WAITING) return // it asks again, or is no one who waits for an answer
    for (let start = 0; start === 0 || start < entries.length; start += AT_ONCE) {
      const part = entries.slice(start, start + AT_ONCE)
      const blocks = part.filter(({ cancel, wantType }) => cancel !== true && wantType !== 'WantHave').length
      share.waiting += part.length
      shares.after(share, blocks * BLOCK_BYTES, () => {
        share.waiting -= part.length
        if (libp2p.getConnections(peer).length === 0) return
        serve(peer, { ...message, wantlist: { full: message.wantlist?.full === true && start === 0, entries: part } })
      })
    }
  }

  // Every block that comes would be hashed, asked for or not.
  const { wantList } = bitswap
  const take = wantList.receiveMessage.bind(wantList)
  wantList.receiveMessage = (connection, message) => {
    const asked = askedOf(connection.remotePeer) > 0
    return take(connection, { ...message, blocks: message.blocks.filter(({ data }) => asked || data.length <= SMALL_BLOCK_BYTES) })
  }
}

/** Turns of those who share the rate. */
class Shares {
  #shares = new Map() // peer id -> { waiting, free }

  of (peer) {
    const id = peer.toString()
    this.#shares.forEach(({ waiting, free }, other) => { if (waiting === 0 && free <= Date.now()) this.#shares.delete(other) })
    if (!this.#shares.has(id)) this.#shares.set(id, { waiting: 0, free: 0 })
    return this.#shares.get(id)
  }

  /** Acts once what the share has spent before is paid for, and charges it with `bytes`. */
  after (share, bytes, act) {
    const now = Date.now()
    const begins = Math.max(now, share.free)
    share.free = begins + bytes * this.#shares.size * 1000 / BYTES_PER_SECOND
    setTimeout(act, begins - now).unref()
  }
}
