/**
 * How blocks come from other nodes over Bitswap 1.2. Peers are asked who has a DAG's root (WANT-HAVE): those that the caller named and the
 * members first, the rest when none of them says so soon. Its blocks are asked of one peer that has it (WANT-BLOCK), the one the caller
 * named first, and of the next ones too while that one is slow. Helia's own way asks all peers for every block and never takes a want back,
 * so that whoever gets a block later sends it once more: N copies where N organisations fetch the same updates.
 */
import { base64 } from 'multiformats/bases/base64'
import { setMaxListeners } from 'node:events'

// Blocks asked of one peer and not yet here. They may all come on one stream, and libp2p ends a stream that holds 4 MiB not yet read.
const WINDOW = 12
// A peer that was asked for blocks and sends fewer than this a second is slow: the next are asked as well, as many again as are asked.
const LEAST_RATE = 2
const PACE_MS = 3000 // how long its blocks are counted
const MOST_AT_ONCE = 8
// Silence of a peer that was asked for blocks before it is asked no more: after PACE_MS where it has sent none yet and another has them too.
const SILENCE_MS = 15_000
const STRANGERS_MS = 1000 // how long those who know each other are asked alone
const ASK_AGAIN_MS = 2000
const LEAST_PAUSE_MS = 500 // between two questions to one peer, however often one that says it has the DAG turns out not to
const LINGER_MS = 1000 // reading a file's size, its bytes and pinning it are three calls and one search
const SEND_MS = 10_000

const DAG_PB = 0x70

const keyOf = (cid) => base64.encode(cid.multihash.bytes)

export class Exchange {
  #libp2p
  #bitswap
  #blockstore
  #members
  #sessions = new Map() // root's key -> Session
  #coming = new Map() // block's key -> promise of it being stored
  #lines = new Map() // peer id -> Line
  #paces = new Map() // peer id -> Pace, of those that had what was asked for

  constructor (libp2p, bitswap, blockstore, members) {
    this.#libp2p = libp2p
    this.#bitswap = bitswap
    this.#blockstore = blockstore
    this.#members = members
    const each = (act) => ({ detail }) => this.#sessions.forEach((session) => act(session, detail))
    bitswap.wantList.addEventListener('presence', each((session, answer) => session.heard(answer)))
    bitswap.network.addEventListener('peer:connected', each((session, peer) => session.connected(peer)))
    bitswap.network.addEventListener('peer:disconnected', each((session, peer) => session.lost(peer)))
    bitswap.network.addEventListener('peer:disconnected', ({ detail }) => this.#forget(detail))
    setInterval(() => this.#judge(), PACE_MS / 3).unref()
  }

  #say (peer, wantlist) {
    const id = peer.toString()
    if (!this.#lines.has(id)) this.#lines.set(id, new Line(this.#bitswap.network, peer))
    return this.#lines.get(id).say(wantlist)
  }

  #pace (peer) {
    const id = peer.toString()
    if (!this.#paces.has(id)) this.#paces.set(id, new Pace(peer))
    return this.#paces.get(id)
  }

  #judge () {
    for (const pace of this.#paces.values()) {
      const verdict = pace.judge()
      if (verdict !== undefined) this.#sessions.forEach((session) => session[verdict](pace.peer))
    }
    this.#sessions.forEach((session) => session.pump())
  }

  #forget (peer) {
    const id = peer.toString()
    this.#lines.delete(id)
    if (!this.#members.has(peer)) this.#paces.delete(id)
  }

  /**
   * The blocks of the DAG below `root` as a block store to read from: what is not here is fetched until `signal` aborts, from the peers of
   * the ids `from` first, in this order. To be closed. A root that has children is stored by `finish` only, when they all are here: peers
   * ask each other for the root and take the DAG to be there.
   */
  open (root, { signal, from = [] }) {
    setMaxListeners(0, signal) // one for each block that is waited for
    const key = keyOf(root)
    let session = this.#sessions.get(key)
    if (session === undefined) {
      session = new Session(this.#libp2p, root, {
        isMember: (peer) => this.#members.has(peer),
        pace: (peer) => this.#pace(peer),
        say: (peer, wantlist) => this.#say(peer, wantlist),
        pump: () => this.#sessions.forEach((other) => other.pump()),
        ended: () => this.#sessions.delete(key)
      })
      this.#sessions.set(key, session)
    }
    session.hold(from)
    return {
      get: (cid) => this.#get(cid, session, signal),
      has: async (cid) => session.heldRoot(cid) !== undefined || this.#blockstore.has(cid),
      finish: () => this.#finish(session),
      close: () => session.release()
    }
  }

  /** Blocks asked of a peer and not yet here. */
  askedOf (peer) {
    return this.#paces.get(peer.toString())?.asked ?? 0
  }

  /** CIDs that peers are being asked for now. */
  wanted () {
    return [...this.#sessions.values()].flatMap((session) => session.wanted())
  }

  /** A root block that waits to be stored: what the collector must know of a DAG under way. */
  held (root) {
    return this.#sessions.get(keyOf(root))?.held
  }

  async #finish (session) {
    const { root, held } = session
    if (held === undefined) return
    await this.#blockstore.put(root, held)
    session.held = undefined
    await this.#bitswap.notify(root)
  }

  async * #get (cid, session, signal) {
    const key = keyOf(cid)
    while (!await this.#blockstore.has(cid)) {
      const root = session.heldRoot(cid)
      if (root !== undefined) {
        yield root
        return
      }
      const others = this.#coming.get(key)
      if (others === undefined) await this.#fetch(key, cid, session, signal)
      else await unlessAborted(others.catch(() => {}), signal) // where it ended with its caller, it is tried anew
    }
    yield * this.#blockstore.get(cid)
  }

  #fetch (key, cid, session, signal) {
    const stored = (async () => {
      const block = await session.fetch(cid, signal)
      if (cid.code === DAG_PB && cid.equals(session.root)) {
        await this.#blockstore.settled() // a collection that did not see this root might take its children from under the reader
        session.held = block
      } else {
        await this.#blockstore.put(cid, block)
        await this.#bitswap.notify(cid)
      }
    })().finally(() => this.#coming.delete(key))
    this.#coming.set(key, stored)
    return stored
  }
}

/**
 * What is said to one peer. Each message goes on a stream of its own and might overtake another: a question taken back after it was asked anew,
 * or a block asked for before it is asked about. So what is said of a block waits for what was said of it before, and for nothing else.
 */
class Line {
  #network
  #peer
  #last = new Map() // block's key -> promise of the last message that names it

  constructor (network, peer) {
    this.#network = network
    this.#peer = peer
  }

  say (wantlist) {
    const message = { full: false, pendingBytes: 0, wantlist, blocks: new Map(), blockPresences: new Map() }
    const keys = [...wantlist.keys()]
    const said = Promise.allSettled(keys.map((key) => this.#last.get(key)))
      .then(() => this.#network.sendMessage(this.#peer, message, { signal: AbortSignal.timeout(SEND_MS) }))
      .finally(() => keys.filter((key) => this.#last.get(key) === said).forEach((key) => this.#last.delete(key)))
    for (const key of keys) this.#last.set(key, said)
    return said
  }
}

/** How fast one peer sends the blocks that it was asked for, in all fetches together. */
class Pace {
  asked = 0 // blocks asked of it and not yet here
  demerits = 0 // how often it was slow or silent, since it last was not
  #proven = false // whether it has sent a block since it last was silent
  #blocks = 0
  #since = 0
  #heard = 0

  constructor (peer) {
    this.peer = peer
  }

  ask (count) {
    if (this.asked === 0) this.#restart()
    this.asked += count
  }

  /** Taken back, or come from another. */
  forget () {
    this.asked -= 1
  }

  sent () {
    this.asked -= 1
    this.#blocks += 1
    this.#heard = Date.now()
    this.#proven = true
  }

  /** What is to be made of it now: 'gone', 'silent', 'slow' or nothing. */
  judge () {
    const now = Date.now()
    const passed = now - this.#since
    if (this.asked === 0 || passed < PACE_MS) return undefined
    const blocks = this.#blocks
    this.#since = now
    this.#blocks = 0
    if (blocks * 1000 >= LEAST_RATE * passed) {
      this.demerits = 0
      return undefined
    }
    this.demerits += 1
    if (blocks > 0) return 'slow'
    const gone = now - this.#heard >= SILENCE_MS
    if (!gone && this.#proven) return 'slow'
    this.#proven = false
    return gone ? 'gone' : 'silent'
  }

  #restart () {
    this.#since = this.#heard = Date.now()
    this.#blocks = 0
  }
}

class Session {
  held // the root's block while the DAG is not all here
  #libp2p
  #others
  #holders = 0
  #linger
  #named = [] // ids of the peers that the caller would have asked first
  #wants = new Map() // key -> { cid, askers: Map of peer id -> when it was asked, resolve, reject }
  #asked = new Map() // peers asked for the root, by id
  #sources = [] // { peer, id, pace, known, rank, slow } of those that have it; blocks are asked of the first
  #atOnce = 1 // of how many sources
  #pumping = false
  #again
  #waited = false // strangers are asked too

  constructor (libp2p, root, others) {
    this.#libp2p = libp2p
    this.root = root
    this.#others = others
  }

  hold (from) {
    this.#holders += 1
    clearTimeout(this.#linger)
    this.#named.push(...from.filter((id) => !this.#named.includes(id)))
    for (const source of this.#sources) Object.assign(source, this.#standing(source.peer))
  }

  release () {
    this.#holders -= 1
    if (this.#holders === 0) this.#linger = setTimeout(() => this.#end(), LINGER_MS).unref()
  }

  heldRoot (cid) {
    return cid.equals(this.root) ? this.held : undefined
  }

  wanted () {
    return [...this.#wants.values()].map(({ cid }) => cid)
  }

  /** A block whose bytes have its hash (Bitswap computes it), from whichever peer delivers; rejects when `signal` aborts. */
  async fetch (cid, signal) {
    const key = keyOf(cid)
    const leave = () => this.#settle(key, (want) => want.reject(signal.reason))
    signal.throwIfAborted()
    signal.addEventListener('abort', leave, { once: true })
    try {
      return await new Promise((resolve, reject) => {
        this.#wants.set(key, { cid, askers: new Map(), resolve, reject })
        this.pump()
      })
    } finally {
      signal.removeEventListener('abort', leave)
    }
  }

  heard ({ sender, cid, has, block }) {
    const key = keyOf(cid)
    const id = sender.toString()
    if (has && key === keyOf(this.root) && this.#asked.has(id) && this.#source(id) === undefined) this.#found(sender)
    const want = this.#wants.get(key)
    const source = this.#source(id)
    if (want?.askers.has(id) && source !== undefined) {
      if (block !== undefined) {
        want.askers.delete(id)
        source.pace.sent()
      } else if (!has) {
        this.#drop(source)
      }
    }
    if (block !== undefined) this.#settle(key, (want) => want.resolve(block))
    else this.pump()
  }

  connected (peer) {
    if (this.#wants.size === 0 || this.#asked.has(peer.toString())) return
    const { known, rank } = this.#standing(peer)
    if (this.#sources.length === 0 ? known || this.#waited : rank < this.#sources[0].rank) this.#ask(peer)
  }

  lost (peer) {
    this.#asked.delete(peer.toString())
    this.#drop(this.#source(peer.toString()))
  }

  /** It sends less than it should: others are asked as well. */
  slow (peer) {
    const source = this.#source(peer.toString())
    if (source === undefined || ![...this.#wants.values()].some(({ askers }) => askers.has(source.id))) return
    source.slow = true
    this.#atOnce = Math.min(2 * this.#atOnce, MOST_AT_ONCE)
    if (this.#sources.length < this.#atOnce) {
      this.#waited = true
      this.#search()
    }
  }

  /** It has sent nothing yet. */
  silent (peer) {
    this.slow(peer)
    if (this.#sources.length > 1) this.gone(peer)
  }

  gone (peer) {
    this.#drop(this.#source(peer.toString()))
  }

  #settle (key, how) {
    const want = this.#wants.get(key)
    if (want === undefined) return
    this.#wants.delete(key)
    this.#takeBack(want)
    how(want)
    this.#others.pump() // one block fewer is asked of a peer, perhaps of one that others wait for
  }

  #takeBack ({ cid, askers }) {
    for (const source of this.#sources.filter(({ id }) => askers.has(id))) {
      source.pace.forget()
      this.#cancel(source.peer, [cid])
    }
  }

  /** Brings what is asked in line with what is wanted, once for all that changes in one turn of the event loop. */
  pump () {
    if (this.#pumping) return
    this.#pumping = true
    setImmediate(() => {
      this.#pumping = false
      if (this.#wants.size === 0 || this.#sources.length > 0) this.#stopSearching()
      if (this.#wants.size === 0) return
      if (this.#sources.length > 0) this.#asking().forEach((source) => this.#want(source))
      else this.#search()
    })
  }

  /**
   * The sources to ask. While one that is known is not slow, strangers are asked nothing; while all that are known are slow, they are asked
   * for what strangers are asked for too, so that any number of strangers costs them nothing.
   */
  #asking () {
    const known = this.#sources.filter((source) => source.known)
    const strangers = this.#sources.filter((source) => !source.known)
    const quick = (sources) => sources.filter(({ slow }) => !slow)
    if (quick(known).length > 0) return quick(known).slice(0, this.#atOnce)
    const others = quick(strangers).length > 0 ? quick(strangers) : strangers
    return [...known, ...others.slice(0, this.#atOnce)].slice(0, MOST_AT_ONCE)
  }

  #want (source) {
    const room = Math.max(WINDOW - source.pace.asked, 0)
    const next = [...this.#wants.values()].filter((want) => this.#lacks(want, source))
      .sort((a, b) => a.askers.size - b.askers.size).slice(0, room)
    if (next.length === 0) return
    for (const want of next) want.askers.set(source.id, Date.now())
    source.pace.ask(next.length)
    this.#send(source.peer, next.map(({ cid }) => cid), { wantType: 'WantBlock', sendDontHave: true, cancel: false })
      .catch(() => { this.#drop(source) })
  }

  /** Whether a block is to be asked of this source: nobody was asked yet, or those who were keep it waiting, or are strangers. */
  #lacks (want, source) {
    if (want.askers.has(source.id)) return false
    return ![...want.askers].some(([id, when]) => {
      const other = this.#source(id)
      return other !== undefined && (other.known || !source.known) && (!other.slow || Date.now() - when < PACE_MS)
    })
  }

  #source (id) {
    return this.#sources.find((source) => source.id === id)
  }

  /** Known are those that the caller named, in this order, and then other members. */
  #standing (peer) {
    const place = this.#named.indexOf(peer.toString())
    const member = this.#others.isMember(peer)
    return { known: place >= 0 || member, rank: place >= 0 ? place : this.#named.length + (member ? 0 : 1) }
  }

  /** Strangers come last; of the others, those that were slow after the rest; then in the order named and in that of the answers. */
  #found (peer) {
    const [asking] = this.#sources
    this.#sources.push({ peer, id: peer.toString(), pace: this.#others.pace(peer), slow: false, ...this.#standing(peer) })
    this.#sources.sort((a, b) => b.known - a.known || a.pace.demerits - b.pace.demerits || a.rank - b.rank)
    // Between equals the one that is being asked stays in front.
    if (asking?.known === this.#sources[0].known && asking.rank <= this.#sources[0].rank && asking.pace.asked > 0 && !asking.slow) {
      this.#sources = [asking, ...this.#sources.filter((source) => source !== asking)]
    }
  }

  /** Ask no more of a peer; whether it still has the DAG is asked again when nobody else has. */
  #drop (source) {
    if (source === undefined || !this.#sources.includes(source)) return
    const wants = [...this.#wants.values()].filter(({ askers }) => askers.delete(source.id))
    wants.forEach(() => source.pace.forget())
    this.#cancel(source.peer, wants.map(({ cid }) => cid))
    this.#sources = this.#sources.filter((other) => other !== source)
    this.#others.pump()
  }

  #search () {
    if (this.#again !== undefined) return
    const peers = this.#libp2p.getPeers()
    const known = peers.filter((peer) => this.#standing(peer).known)
    const all = this.#waited || known.length === 0
    for (const peer of all ? peers : known) if (this.#source(peer.toString()) === undefined && this.#mayAsk(peer)) this.#ask(peer)
    this.#again = setTimeout(() => {
      this.#again = undefined
      this.#waited = true
      this.pump()
    }, all ? ASK_AGAIN_MS : STRANGERS_MS)
  }

  #stopSearching () {
    clearTimeout(this.#again)
    this.#again = undefined
  }

  #mayAsk (peer) {
    const asked = this.#asked.get(peer.toString())
    return asked === undefined || Date.now() - asked.when >= LEAST_PAUSE_MS
  }

  /** A peer answers a want once, then again when it gets the block; asking anew begins with taking the old question back. */
  async #ask (peer) {
    const before = this.#asked.has(peer.toString())
    this.#asked.set(peer.toString(), { peer, when: Date.now() })
    if (before) {
      await this.#cancel(peer, [this.root])
      if (this.#source(peer.toString()) !== undefined) return // it has answered meanwhile, and may have been asked for the block
    }
    await this.#send(peer, [this.root], { wantType: 'WantHave', sendDontHave: true, cancel: false }).catch(() => {})
  }

  #cancel (peer, cids) {
    return cids.length === 0 ? undefined : this.#send(peer, cids, { cancel: true }).catch(() => {})
  }

  #send (peer, cids, entry) {
    return this.#others.say(peer, new Map(cids.map((cid) => [keyOf(cid), { cid: cid.bytes, priority: 1, ...entry }])))
  }

  #end () {
    this.#others.ended()
    this.#stopSearching()
    for (const { peer } of this.#asked.values()) this.#cancel(peer, [this.root])
  }
}

async function unlessAborted (promise, signal) {
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers()
  const leave = () => reject(signal.reason)
  signal.addEventListener('abort', leave, { once: true })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', leave)
  }
}
