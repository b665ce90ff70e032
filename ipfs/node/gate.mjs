/**
 * Who may connect. Members have places of their own, a few each; everybody else (candidates, auditors, strangers) shares the guests'
 * places. Before its handshake nobody is known, so those who have not finished it share a waiting room, in which the newest is never
 * turned away for others of the same address: where it is full, the one that waits longest of the address that has most there has to go.
 */
import { placeOf } from './members.mjs'

const WAITING = 256
const PER_MEMBER = 4
// A guest has its place for itself that long; after that, where all are taken, it goes to a newcomer.
const STAY_MS = 60_000
// New connections from one address that is no member's: at once, and a second.
const KNOCKS = 40
const KNOCKS_PER_SECOND = 10
const ADDRESSES_REMEMBERED = 10_000

export class Gate {
  #members
  #guests
  #now
  #waiting = new Map() // connection -> place, the longest first
  #inside = new Map() // connection -> { id, place, since }, the longest first
  #knocks = new Map() // place -> { left, at }

  /** `guests`: places for those who are no members, half of them at most for one address. */
  constructor (members, guests, now = Date.now) {
    this.#members = members
    this.#guests = guests
    this.#now = now
  }

  /** libp2p's questions, each answered with whether to refuse. */
  rules () {
    return {
      denyInboundConnection: (connection) => !this.#admitToWait(connection),
      denyInboundEncryptedConnection: (peer, connection) => !this.#admit(peer.toString(), connection)
    }
  }

  #admitToWait (connection) {
    const place = placeOf(connection.remoteAddr)
    if (!this.#ofMembers(place) && !this.#mayKnock(place)) return false
    if (this.#waiting.size >= WAITING) {
      const crowded = most([...this.#waiting.values()])
      const [longest] = [...this.#waiting].find(([, other]) => other === crowded)
      this.#waiting.delete(longest)
      longest.abort(new Error('others wait to be let in'))
    }
    this.#waiting.set(connection, place)
    connection.addEventListener('close', () => {
      this.#waiting.delete(connection)
      this.#inside.delete(connection)
    })
    return true
  }

  #admit (id, connection) {
    const place = placeOf(connection.remoteAddr)
    this.#waiting.delete(connection)
    if (connection.status !== 'open') return false
    if (this.#members.has(id)) {
      const own = [...this.#inside].filter(([, other]) => other.id === id)
      if (own.length >= PER_MEMBER) this.#sendOff(own[0][0]) // after a cut line its old connections may look open for minutes
    } else {
      const inTheWay = this.#guestInTheWay(place)
      if (inTheWay !== undefined && this.#now() - inTheWay[1].since < STAY_MS) return false
      if (inTheWay !== undefined) this.#sendOff(inTheWay[0])
    }
    this.#inside.set(connection, { id, place, since: this.#now() })
    return true
  }

  /** Who has to go before one more guest may come from there, as [connection, what is known of it]; undefined where there is room. */
  #guestInTheWay (place) {
    const guests = [...this.#inside].filter(([, { id }]) => !this.#members.has(id))
    const from = (where) => guests.filter(([, other]) => other.place === where)
    if (from(place).length >= this.#guests / 2) return from(place)[0]
    if (guests.length >= this.#guests) return from(most(guests.map(([, other]) => other.place)))[0]
  }

  #sendOff (connection) {
    this.#inside.delete(connection)
    connection.abort(new Error('the place is needed for another'))
  }

  /** Members may have one address in common, and with others too: none of them can be told apart there before the handshake. */
  #ofMembers (place) {
    return !this.#members.known || this.#members.at(place) ||
      [...this.#inside.values()].some((other) => other.place === place && this.#members.has(other.id))
  }

  #mayKnock (place) {
    const now = this.#now()
    const { left, at } = this.#knocks.get(place) ?? { left: KNOCKS, at: now }
    const room = Math.min(KNOCKS, left + (now - at) / 1000 * KNOCKS_PER_SECOND)
    this.#knocks.delete(place)
    this.#knocks.set(place, { left: Math.max(room - 1, 0), at: now })
    if (this.#knocks.size > ADDRESSES_REMEMBERED) this.#knocks.delete(this.#knocks.keys().next().value)
    return room >= 1
  }
}

/** The word that occurs most often; of several, the one that occurs first. */
function most (words) {
  const counts = new Map()
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1)
  return [...counts].reduce((best, next) => next[1] > best[1] ? next : best)[0]
}
