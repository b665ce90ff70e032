/**
 * Blocks, pins and garbage collection of the embedded node.
 *
 * A pin is one empty file `pins/<cid>`, so it is there or not there after a crash at any moment; collection marks what the pins
 * reach and deletes the rest. (Helia's own pins count references block by block, which a crash in between leaves wrong.)
 */
import { unixfs } from '@helia/unixfs'
import { FsBlockstore } from 'blockstore-fs'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { balanced } from 'ipfs-unixfs-importer/layout'
import { CID } from 'multiformats/cid'
import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { Exchange } from './exchange.mjs'
import { restrainGuests } from './guests.mjs'

const RAW = 0x55
const DAG_PB = 0x70
const SHA2_256 = 0x12
const FETCHES_AT_ONCE = 64

// What `ipfs add --cid-version=1` does in Kubo; ipfs/cid.py computes the same.
const ADD_OPTIONS = {
  cidVersion: 1,
  rawLeaves: true,
  reduceSingleLeafToSelf: true,
  chunker: fixedSize({ chunkSize: 262144 }),
  layout: balanced({ maxChildrenPerNode: 174 })
}

/** A block store that checks what it reads, and whose writes wait while the collector marks and sweeps. */
class CollectableBlockstore extends FsBlockstore {
  #swept = null
  #writing = new Set()

  /** Waits while the collector marks and sweeps. */
  async settled () {
    while (this.#swept != null) await this.#swept
  }

  async put (cid, block, options) {
    await this.settled()
    const write = super.put(cid, block, options)
    this.#writing.add(write)
    try {
      return await write
    } finally {
      this.#writing.delete(write)
    }
  }

  /** A block damaged on disk counts as absent, so that the next try fetches it from a peer instead of passing the damage on. */
  async * get (cid, options) {
    const block = await joined(super.get(cid, options))
    if (cid.multihash.code === SHA2_256 && !createHash('sha256').update(block).digest().equals(cid.multihash.digest)) {
      await this.delete(cid)
      throw new NotFoundError(`the block ${cid} was damaged on disk and has been removed`)
    }
    yield block
  }

  async whileQuiet (work) {
    await this.settled()
    let open
    this.#swept = new Promise((resolve) => { open = resolve })
    try {
      await Promise.allSettled([...this.#writing])
      return await work()
    } finally {
      this.#swept = null
      open()
    }
  }
}

export class Repository {
  #helia
  #unixfs
  #exchange
  #dagPb
  #collecting = null
  #adding = new Set() // adds that have blocks no pin reaches yet
  #pinning = new Map() // root -> number of pin calls that are still fetching it

  constructor (folder) {
    this.folder = folder
    this.pinFolder = path.join(folder, 'pins')
    this.blockstore = new CollectableBlockstore(path.join(folder, 'blocks'))
  }

  static async open (folder) {
    const repository = new Repository(folder)
    await fs.mkdir(repository.pinFolder, { recursive: true, mode: 0o700 })
    await repository.blockstore.open()
    return repository
  }

  attach (helia, members) {
    this.#helia = helia
    this.#unixfs = unixfs(helia)
    this.#dagPb = helia.getCodec(DAG_PB)
    const { bitswap } = helia.blockBrokers.find(({ name }) => name === 'bitswap')
    this.#exchange = new Exchange(helia.libp2p, bitswap, this.blockstore, members)
    restrainGuests(bitswap, helia.libp2p, members, (peer) => this.#exchange.askedOf(peer))
  }

  /** CIDs that this node is asking its peers for now. */
  wanted () {
    return this.#exchange.wanted()
  }

  /** Adds bytes and, if asked, pins them; no collection runs between the first block and the pin. */
  async add (bytes, pin) {
    await this.#notCollecting()
    const work = (async () => {
      const cid = await this.#unixfs.addBytes(bytes, ADD_OPTIONS)
      if (pin) await this.#writePin(cid)
      return cid
    })()
    this.#adding.add(work)
    try {
      const cid = await work
      // Bitswap announces a block just before it is stored; peers that were already waiting are served by announcing it again.
      await Promise.all(this.#helia.blockBrokers.map((broker) => broker.announce?.(cid)))
      return cid
    } finally {
      this.#adding.delete(work)
    }
  }

  /** Here and below, `how` is { signal, from }: when to give up, and ids of the peers to ask first, in this order. */
  async read (cid, how) {
    return this.#within(cid, how, (dag) => joined(dag.get(cid)))
  }

  async * cat (cid, options) {
    const dag = this.#exchange.open(cid, options)
    try {
      yield * unixfs({ blockstore: dag }).cat(cid, options)
      await dag.finish()
    } finally {
      dag.close()
    }
  }

  /** Bytes of the file below `cid`; needs its root block only. */
  async size (cid, how) {
    return this.#within(cid, how, async (dag) => {
      if (cid.code === RAW) return (await joined(dag.get(cid))).length
      const stat = await unixfs({ blockstore: dag }).stat(cid, { signal: how.signal })
      return Number(stat.size)
    })
  }

  /** Fetches everything below `cid`, then pins it. */
  async pin (cid, how) {
    await this.#notCollecting()
    const key = cid.toString()
    this.#pinning.set(key, (this.#pinning.get(key) ?? 0) + 1)
    try {
      await this.#within(cid, how, async (dag) => {
        await this.#walk(cid, { dag })
        await dag.finish()
      })
      await this.#writePin(cid)
    } finally {
      const left = this.#pinning.get(key) - 1
      if (left === 0) this.#pinning.delete(key)
      else this.#pinning.set(key, left)
    }
  }

  async unpin (cid) {
    try {
      await fs.unlink(path.join(this.pinFolder, cid.toString()))
      return true
    } catch (error) {
      if (error.code === 'ENOENT') return false
      throw error
    }
  }

  async isPinned (cid) {
    return (await this.pins()).includes(cid.toString())
  }

  async pins () {
    return fs.readdir(this.pinFolder)
  }

  /** Deletes every block that no pin reaches; returns their CIDs as text. */
  async collect () {
    // INVARIANT: adds and pins that begin while blocks are swept wait, else they would count on a block seen just before it goes.
    this.#collecting ??= this.#sweep().finally(() => { this.#collecting = null })
    return this.#collecting
  }

  async #notCollecting () {
    while (this.#collecting != null) await Promise.allSettled([this.#collecting])
  }

  async #sweep () {
    await Promise.allSettled([...this.#adding])
    return this.blockstore.whileQuiet(async () => {
      const kept = new Set()
      const roots = [...await this.pins(), ...this.#pinning.keys()]
      for (const root of roots) {
        await this.#walk(CID.parse(root), { visit: (cid) => kept.add(hashOf(cid)) })
      }
      const removed = []
      for await (const { cid } of this.blockstore.getAll()) {
        if (kept.has(hashOf(cid))) continue
        await this.blockstore.delete(cid)
        removed.push(cid.toString())
      }
      return removed
    })
  }

  async usage () {
    let blocks = 0
    let bytes = 0
    for await (const file of fs.glob('**/*.data', { cwd: this.blockstore.path })) {
      blocks += 1
      bytes += (await fs.stat(path.join(this.blockstore.path, file)).catch(() => ({ size: 0 }))).size
    }
    return { blocks, bytes }
  }

  async #within (root, how, work) {
    const dag = this.#exchange.open(root, how)
    try {
      return await work(dag)
    } finally {
      dag.close()
    }
  }

  async #localBlock (cid) {
    const held = this.#exchange.held(cid)
    if (held !== undefined) return held
    try {
      return await joined(this.blockstore.get(cid))
    } catch (error) {
      if (error.name === 'NotFoundError') return null
      throw error
    }
  }

  async #writePin (cid) {
    await fs.writeFile(path.join(this.pinFolder, cid.toString()), '')
  }

  /** Visits a DAG breadth first. Without `dag` to fetch from, a block that is not here is visited but not descended into. */
  async #walk (root, { dag, visit = () => {} }) {
    const codec = await this.#dagPb
    let level = [root]
    while (level.length > 0) {
      const next = []
      for (let start = 0; start < level.length; start += FETCHES_AT_ONCE) {
        await Promise.all(level.slice(start, start + FETCHES_AT_ONCE).map(async (cid) => {
          visit(cid)
          if (cid.code !== DAG_PB) {
            if (dag !== undefined && !await dag.has(cid)) await joined(dag.get(cid))
            return
          }
          const block = dag === undefined ? await this.#localBlock(cid) : await joined(dag.get(cid))
          if (block != null) next.push(...codec.decode(block).Links.map((link) => link.Hash))
        }))
      }
      level = next
    }
  }
}

class NotFoundError extends Error {
  name = 'NotFoundError' // Helia and Bitswap go by the name
}

async function joined (chunks) {
  const parts = []
  for await (const part of chunks) parts.push(part)
  return parts.length === 1 ? parts[0] : Buffer.concat(parts)
}

// The block store files blocks by hash alone, whatever the codec of the CID that asks.
function hashOf (cid) {
  return Buffer.from(cid.multihash.bytes).toString('base64')
}
