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
  const turns = new Turns()

  lists.receiveMessage = (peer, message) => {
    if (!guest(peer)) return serve(peer, message)
    const entries = message.wantlist?.entries ?? []
    const id = peer.toString()
    if (turns.waiting(id) + entries.length > MOST_WAITING) return // it asks again, or is no one who waits for an answer
    for (let start = 0; start === 0 || start < entries.length; start += AT_ONCE) {
      const part = entries.slice(start, start + AT_ONCE)
      const blocks = part.filter(({ cancel, wantType }) => cancel !== true && wantType !== 'WantHave').length
      turns.take(id, part.length, () => {
        if (libp2p.getConnections(peer).length === 0) return 0
        serve(peer, { ...message, wantlist: { full: message.wantlist?.full === true && start === 0, entries: part } })
        return blocks * BLOCK_BYTES
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

/**
 * Turns of those who share the rate, one after the other: whoever comes anew, under whatever name, waits for what was spent before it came.
 */
class Turns {
  #queues = new Map() // peer id -> [{ size, act }], whose turn is next first
  #free = 0
  #timer

  waiting (id) {
    return (this.#queues.get(id) ?? []).reduce((sum, { size }) => sum + size, 0)
  }

  /** Does `act`, which tells the bytes that it spent, after what `id` asked before and in turn with the others. */
  take (id, size, act) {
    if (!this.#queues.has(id)) this.#queues.set(id, [])
    this.#queues.get(id).push({ size, act })
    this.#go()
  }

  #go () {
    while (this.#timer === undefined && this.#queues.size > 0) {
      const now = Date.now()
      if (this.#free > now) {
        this.#timer = setTimeout(() => {
          this.#timer = undefined
          this.#go()
        }, this.#free - now).unref()
        return
      }
      const [id, queue] = this.#queues.entries().next().value
      this.#queues.delete(id)
      const { act } = queue.shift()
      if (queue.length > 0) this.#queues.set(id, queue)
      this.#free = now + act() * 1000 / BYTES_PER_SECOND
    }
  }
}
