/** What an exchange says to a peer, and in which order, over a network that keeps each message until the test lets it go. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mock, test } from 'node:test'
import { CID } from 'multiformats/cid'
import { create } from 'multiformats/hashes/digest'
import { Exchange } from '../../ipfs/node/exchange.mjs'

const SHA2_256 = 0x12
const RAW = 0x55
const AGAIN_MS = 2000
const bytes = Buffer.from('an update')
const root = CID.createV1(RAW, create(SHA2_256, createHash('sha256').update(bytes).digest()))
const peer = { toString: () => 'peer', equals: (other) => other === peer }

const event = (name, detail) => Object.assign(new Event(name), { detail })
const turns = async () => { for (let i = 0; i < 20; i++) await new Promise(setImmediate) }

function world () {
  const messages = []
  const network = new EventTarget()
  network.sendMessage = (to, { wantlist }) => {
    const { promise, resolve } = Promise.withResolvers()
    messages.push({ words: [...wantlist.values()].map(({ cancel, wantType }) => cancel ? 'cancel' : wantType), sent: resolve })
    return promise
  }
  const bitswap = { wantList: new EventTarget(), network, notify: async () => {} }
  const stored = new Map()
  const blockstore = {
    settled: async () => {},
    has: async (cid) => stored.has(cid.toString()),
    put: async (cid, block) => { stored.set(cid.toString(), block) },
    get: async function * (cid) { yield stored.get(cid.toString()) }
  }
  const exchange = new Exchange({ getPeers: () => [peer] }, bitswap, blockstore, { has: () => false })
  const read = exchange.open(root, { signal: new AbortController().signal })
  const got = (async () => { for await (const block of read.get(root)) return block })()
  const hear = (answer) => bitswap.wantList.dispatchEvent(event('presence', { sender: peer, cid: root, has: true, ...answer }))
  return { messages, network, got, hear, read }
}

test('a second connection to a peer that was asked is no reason to ask again', { timeout: 5000 }, async () => {
  const { messages, network, hear, got, read } = world()
  await turns()
  messages[0].sent()
  network.dispatchEvent(event('peer:connected', peer))
  await turns()
  assert.deepEqual(messages.map(({ words }) => words), [['WantHave']])
  hear({})
  await turns()
  assert.deepEqual(messages[1].words, ['WantBlock'])
  messages[1].sent()
  hear({ block: bytes })
  assert.equal(await got, bytes)
  read.close()
})

test('an answer that comes while the question is asked anew is followed by the block, and not by the question', { timeout: 5000 }, async () => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  try {
    const { messages, hear, got, read } = world()
    await turns()
    messages[0].sent()
    await turns()
    mock.timers.tick(AGAIN_MS)
    await turns()
    assert.deepEqual(messages.map(({ words }) => words), [['WantHave'], ['cancel']])
    hear({}) // to the first question
    await turns()
    assert.equal(messages.length, 2, 'nothing may overtake what is on its way')
    messages[1].sent()
    await turns()
    assert.deepEqual(messages.slice(2).map(({ words }) => words), [['WantBlock']])
    messages[2].sent()
    hear({ block: bytes })
    assert.equal(await got, bytes)
    read.close()
  } finally {
    mock.timers.reset()
  }
})
