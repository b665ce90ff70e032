/**
 * How blocks come from other nodes over Bitswap 1.2. Every connected peer is asked who has a DAG's root (WANT-HAVE); its blocks are asked of
 * one peer that has it (WANT-BLOCK), and of the next only when that one fails. Helia's own way asks all peers for every block and never
 * takes a want back, so that whoever gets a block later sends it once more: N copies where N organisations fetch the same updates.
 */
import { base64 } from 'multiformats/bases/base64'
import { setMaxListeners } from 'node:events'

// Blocks asked of one peer and not yet here. They may all come on one stream, and libp2p ends a stream that holds 4 MiB not yet read.
const WINDOW = 12
// Silence of a peer that was asked for blocks, before the next is asked: the shorter where it has sent none yet and another has them too.
const SILENCE_MS = 15_000
const FIRST_SILENCE_MS = 3000
const ASK_AGAIN_MS = 2000
const LINGER_MS = 1000 // reading a file's size, its bytes and pinning it are three calls and one search
const SEND_MS = 10_000

const DAG_PB = 0x70

const keyOf = (cid) => base64.encode(cid.multihash.bytes)

export class Exchange {
  #libp2p
  #bitswap
  #blockstore
  #sessions = new Map() // root's key -> Session
  #coming = new Map() // block's key -> promise of it being stored
  #lines = new Map() // peer id -> Line
  #silent = new Map() // peer id -> how often it said that it has a DAG and then sent nothing, since it last sent a block

  constructor (libp2p, bitswap, blockstore) {
    this.#libp2p = libp2p
    this.#bitswap = bitswap
    this.#blockstore = blockstore
    const each = (act) => ({ detail }) => this.#sessions.forEach((session) => act(session, detail))
    bitswap.wantList.addEventListener('presence', each((session, answer) => session.heard(answer)))
    bitswap.network.addEventListener('peer:connected', each((session, peer) => session.connected(peer)))
    bitswap.network.addEventListener('peer:disconnected', each((session, peer) => session.lost(peer)))
    bitswap.network.addEventListener('peer:disconnected', ({ detail }) => this.#lines.delete(detail.toString()))
  }

  #say (peer, wantlist) {
    const id = peer.toString()
    if (!this.#lines.has(id)) this.#lines.set(id, new Line(this.#bitswap.network, peer))
    return this.#lines.get(id).say(wantlist)
  }

  /**
   * The blocks of the DAG below `root` as a block store to read from: what is not here is fetched until `signal` aborts. To be closed. A root
   * that has children is stored by `finish` only, when they all are here: peers ask each other for the root and take the DAG to be there.
   */
  open (root, signal) {
    setMaxListeners(0, signal) // one for each block that is waited for
    const key = keyOf(root)
    let session = this.#sessions.get(key)
    if (session === undefined) {
      session = new Session(this.#libp2p, root, {
        silent: this.#silent,
        say: (peer, wantlist) => this.#say(peer, wantlist),
        pump: () => this.#sessions.forEach((other) => other.pump()),
        askedOf: (peer) => this.#sessions.values().reduce((sum, other) => sum + other.askedOf(peer), 0),
        ended: () => this.#sessions.delete(key)
      })
      this.#sessions.set(key, session)
    }
    session.hold()
    return {
      get: (cid) => this.#get(cid, session, signal),
      has: async (cid) => session.heldRoot(cid) !== undefined || this.#blockstore.has(cid),
      finish: () => this.#finish(session),
      close: () => session.release()
    }
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

class Session {
  held // the root's block while the DAG is not all here
  #libp2p
  #others
  #holders = 0
  #linger
  #wants = new Map() // key -> { cid, sent, resolve, reject }
  #asked = new Map() // peers asked for the root, by id
  #sources = [] // peers that have it; blocks are asked of the first
  #proven = false // whether the first has sent a block
  #pumping = false
  #silence
  #again

  constructor (libp2p, root, others) {
    this.#libp2p = libp2p
    this.root = root
    this.#others = others
  }

  hold () {
    this.#holders += 1
    clearTimeout(this.#linger)
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

  /** Blocks asked of a peer and not yet here. */
  askedOf (peer) {
    return this.#rank(peer) === 0 ? this.#sent().length : 0
  }

  /** A block whose bytes have its hash (Bitswap computes it), from whichever peer delivers; rejects when `signal` aborts. */
  async fetch (cid, signal) {
    const key = keyOf(cid)
    const leave = () => {
      if (this.#wants.get(key)?.sent === true) this.#cancel(this.#sources[0], [cid])
      this.#settle(key, (want) => want.reject(signal.reason))
    }
    signal.throwIfAborted()
    signal.addEventListener('abort', leave, { once: true })
    try {
      return await new Promise((resolve, reject) => {
        this.#wants.set(key, { cid, sent: false, resolve, reject })
        this.pump()
      })
    } finally {
      signal.removeEventListener('abort', leave)
    }
  }

  heard ({ sender, cid, has, block }) {
    const key = keyOf(cid)
    if (has && key === keyOf(this.root) && this.#asked.has(sender.toString()) && this.#rank(sender) < 0) this.#found(sender)
    const asked = this.#wants.get(key)?.sent === true && this.#rank(sender) === 0
    if (asked && !has) this.#drop(sender)
    if (asked && block !== undefined) {
      this.#others.silent.delete(sender.toString())
      this.#proven = true
      this.#watch()
    }
    if (block !== undefined) this.#settle(key, (want) => want.resolve(block))
    else this.pump()
  }

  /** Sources are asked in the order in which they answered, those that were silent before last; the one being asked stays in front. */
  #found (peer) {
    const silence = (source) => this.#others.silent.get(source.toString()) ?? 0
    const asking = this.#sent().length > 0 ? this.#sources.shift() : undefined
    this.#sources.push(peer)
    this.#sources.sort((a, b) => silence(a) - silence(b))
    if (asking !== undefined) this.#sources.unshift(asking)
  }

  connected (peer) {
    if (this.#wants.size > 0 && this.#sources.length === 0 && !this.#asked.has(peer.toString())) this.#ask(peer)
  }

  lost (peer) {
    this.#asked.delete(peer.toString())
    this.#drop(peer)
  }

  #settle (key, how) {
    const want = this.#wants.get(key)
    if (want === undefined) return
    this.#wants.delete(key)
    how(want)
    this.#others.pump() // one block fewer is asked of a peer, perhaps of one that others wait for
  }

  /** Brings what is asked in line with what is wanted, once for all that changes in one turn of the event loop. */
  pump () {
    if (this.#pumping) return
    this.#pumping = true
    setImmediate(() => {
      this.#pumping = false
      if (this.#wants.size === 0) {
        this.#unwatch()
        clearTimeout(this.#again)
        this.#again = undefined
      } else if (this.#sources.length > 0) {
        this.#want(this.#sources[0])
      } else {
        this.#search()
      }
    })
  }

  #want (source) {
    clearTimeout(this.#again)
    this.#again = undefined
    const room = Math.max(WINDOW - this.#others.askedOf(source), 0)
    const next = [...this.#wants.values()].filter(({ sent }) => !sent).slice(0, room)
    if (next.length === 0) return
    for (const want of next) want.sent = true
    if (this.#silence === undefined) this.#watch()
    this.#send(source, next.map(({ cid }) => cid), { wantType: 'WantBlock', sendDontHave: true, cancel: false })
      .catch(() => { this.#drop(source) })
  }

  #watch () {
    this.#unwatch()
    const [source, another] = this.#sources
    const patience = this.#proven || another === undefined ? SILENCE_MS : FIRST_SILENCE_MS
    this.#silence = setTimeout(() => {
      const id = source.toString()
      this.#others.silent.set(id, (this.#others.silent.get(id) ?? 0) + 1)
      this.#drop(source)
    }, patience)
  }

  #unwatch () {
    clearTimeout(this.#silence)
    this.#silence = undefined
  }

  #sent () {
    return [...this.#wants.values()].filter(({ sent }) => sent)
  }

  #rank (peer) {
    return this.#sources.findIndex((source) => source.equals(peer))
  }

  /** Ask no more of a peer; whether it still has the DAG is asked again when nobody else has. */
  #drop (peer) {
    const rank = this.#rank(peer)
    if (rank < 0) return
    this.#sources.splice(rank, 1)
    if (rank === 0) {
      this.#unwatch()
      this.#proven = false
      const sent = this.#sent()
      for (const want of sent) want.sent = false
      this.#cancel(peer, sent.map(({ cid }) => cid))
    }
    this.#others.pump()
  }

  #search () {
    if (this.#again !== undefined) return
    for (const peer of this.#libp2p.getPeers()) this.#ask(peer)
    this.#again = setTimeout(() => {
      this.#again = undefined
      this.pump()
    }, ASK_AGAIN_MS)
  }

  /** A peer answers a want once, then again when it gets the block; asking anew begins with taking the old question back. */
  async #ask (peer) {
    const before = this.#asked.has(peer.toString())
    this.#asked.set(peer.toString(), peer)
    if (before) {
      await this.#cancel(peer, [this.root])
      if (this.#rank(peer) >= 0) return // it has answered meanwhile, and may have been asked for the block
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
    this.#unwatch()
    clearTimeout(this.#again)
    for (const peer of this.#asked.values()) this.#cancel(peer, [this.root])
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
