/**
 * A node that is no member's, or one that only says so, with ways of its own.
 *
 *   node stranger.mjs --dial MULTIADDR --blocks DIR --pause MS   says at once that it has whatever it is asked about, then sends a block of
 *                                                                DIR (an embedded node's block store) every so often; with --fickle 1
 *                                                                it sends none, and says each time that it has not got it after all
 *   node stranger.mjs --dial MULTIADDR --crowd N                 connects N times, as somebody else each time, and again when sent off
 *   node stranger.mjs --dial MULTIADDR --take CID,... --for MS   asks for these blocks and leaves, again and again, as somebody else each
 *                                                                time; at its end it prints {"taken": bytes}
 *
 * It prints a JSON line when it is connected: {"listen": [multiaddresses]}, and one for each block asked of it: {"asked": kind}. It ends with
 * its standard input.
 */
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { FsBlockstore } from 'blockstore-fs'
import { createLibp2p } from 'libp2p'
import { CID } from 'multiformats/cid'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { BitswapMessage } from '../../node_modules/@helia/bitswap/dist/src/pb/message.js'

const BITSWAP = '/ipfs/bitswap/1.2.0'
const AGAIN_MS = 500

const { values } = parseArgs({
  options: Object.fromEntries(['dial', 'blocks', 'pause', 'crowd', 'take', 'for', 'fickle'].map((name) => [name, { type: 'string' }]))
})
const say = (word) => process.stdout.write(JSON.stringify(word) + '\n')
const address = multiaddr(values.dial)

const node = () => createLibp2p({
  addresses: { listen: values.blocks === undefined ? [] : ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()]
})

function varint (number) {
  const bytes = []
  for (; number > 127; number >>>= 7) bytes.push(number & 127 | 128)
  return Buffer.from([...bytes, number])
}

async function send (libp2p, peer, message) {
  const stream = await libp2p.dialProtocol(peer, BITSWAP)
  const bytes = BitswapMessage.encode({ blocks: [], blockPresences: [], pendingBytes: 0, ...message })
  if (!stream.send(Buffer.concat([varint(bytes.length), bytes]))) await stream.onDrain()
  await stream.close()
}

async function trickle () {
  const libp2p = await node()
  const store = new FsBlockstore(values.blocks, { createIfMissing: false })
  const queue = new Map()
  await libp2p.handle(BITSWAP, async (stream, connection) => {
    const parts = []
    for await (const part of stream) parts.push(part.subarray())
    const bytes = Buffer.concat(parts)
    let start = 0
    while (bytes[start] > 127) start++
    const { wantlist } = BitswapMessage.decode(bytes.subarray(start + 1))
    for (const { cid, cancel, wantType } of wantlist?.entries ?? []) {
      const key = CID.decode(cid).toString()
      if (cancel) queue.delete(key)
      else {
        say({ asked: wantType })
        const answer = wantType === 'WantHave' ? 'HaveBlock' : values.fickle && 'DoNotHaveBlock'
        if (answer) send(libp2p, connection.remotePeer, { blockPresences: [{ cid, type: answer }] }).catch(() => {})
        else queue.set(key, { cid, peer: connection.remotePeer })
      }
    }
  }, { maxInboundStreams: 1000 })
  await libp2p.dial(address)
  say({ listen: libp2p.getMultiaddrs().map(String) })
  for (;;) {
    await pause(Number(values.pause))
    if (queue.size === 0) continue
    const [key, { cid, peer }] = queue.entries().next().value
    queue.delete(key)
    const parts = []
    for await (const part of store.get(CID.decode(cid))) parts.push(part)
    const prefix = Buffer.from([1, CID.decode(cid).code, 0x12, 32])
    await send(libp2p, peer, { blocks: [{ prefix, data: Buffer.concat(parts) }] }).catch(() => {})
  }
}

async function crowd () {
  const nodes = await Promise.all(Array.from({ length: Number(values.crowd) }, node))
  const keep = async (libp2p) => {
    for (;;) {
      if (libp2p.getConnections().length === 0) await libp2p.dial(address).catch(() => {})
      await pause(AGAIN_MS)
    }
  }
  nodes.forEach(keep)
  say({ listen: [] })
}

async function take () {
  const cids = values.take.split(',').map((cid) => CID.parse(cid).bytes)
  const end = Date.now() + Number(values.for)
  let taken = 0
  say({ listen: [] })
  const visits = async () => {
    while (Date.now() < end) {
      const libp2p = await node()
      const served = Promise.withResolvers()
      await libp2p.handle(BITSWAP, async (stream) => {
        for await (const part of stream) taken += part.byteLength
        served.resolve()
      }, { maxInboundStreams: 1000 })
      const entries = cids.map((cid) => ({ cid, priority: 1, cancel: false, wantType: 'WantBlock', sendDontHave: false }))
      await libp2p.dial(address).then(({ remotePeer }) => send(libp2p, remotePeer, { wantlist: { full: false, entries } })).catch(() => {})
      await Promise.race([served.promise, pause(AGAIN_MS)])
      await libp2p.stop()
    }
  }
  await Promise.all([visits(), visits(), visits(), visits()])
  say({ taken })
  process.exit(0)
}

process.on('unhandledRejection', () => {})
process.stdin.on('end', () => process.exit(0)).resume()
await (values.take !== undefined ? take() : values.blocks === undefined ? crowd() : trickle())
