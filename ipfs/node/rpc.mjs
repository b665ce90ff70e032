/**
 * The HTTP side of the embedded node: the calls of Kubo's RPC (v0) that ipfshttpclient and this product make, same names, arguments
 * and answers. Errors are Kubo's {"Message", "Code", "Type"}.
 */
import { multiaddr } from '@multiformats/multiaddr'
import { CID } from 'multiformats/cid'
import { once } from 'node:events'
import http from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { presence } from './presence.mjs'

const LONGEST_WAIT_MS = 10 * 60 * 1000
const DIAL_WAIT_MS = 15 * 1000
const DIAL_TRIES = 3
const DIAL_PAUSE_MS = 200
const KEEP_ALIVE = 'keep-alive-defed-bio' // libp2p dials peers with such a tag again after a loss or a restart
const LOCAL_NAMES = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/

class Refusal extends Error {
  constructor (status, message) {
    super(message)
    this.status = status
  }
}

/** Listens on loopback; returns the http.Server once it does. */
export async function serveRpc ({ helia, repository, members, host, port, maxUpload }) {
  const node = { helia, repository, members, maxUpload }
  const server = http.createServer({ requestTimeout: LONGEST_WAIT_MS }, (request, response) => {
    answer(node, request, response).catch((error) => fail(response, error))
  })
  server.listen(port, host)
  await once(server, 'listening')
  return server
}

async function answer (node, request, response) {
  refuseBrowsers(request)
  const url = new URL(request.url, 'http://localhost')
  const name = url.pathname.replace(/^\/api\/v0\//, '')
  if (!Object.hasOwn(CALLS, name)) throw new Refusal(404, `no such call: ${url.pathname}`)
  if (request.method !== 'POST') throw new Refusal(405, 'only POST is allowed')
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  const signal = AbortSignal.any([gone.signal, AbortSignal.timeout(waitOf(url.searchParams))])
  const call = { ...node, request, response, query: url.searchParams, signal }
  try {
    const result = await CALLS[name](call)
    if (result !== undefined) json(response, 200, result)
  } catch (error) {
    // A new one: the message of an abort cannot be changed.
    if (signal.aborted && !(error instanceof Refusal)) throw new Error(`context deadline exceeded (${error.message})`, { cause: error })
    throw error
  }
}

// INVARIANT: a web page that the operator visits cannot use the node: no browser request passes, whatever name it came by (DNS rebinding).
function refuseBrowsers ({ headers }) {
  if (headers.origin !== undefined || headers.referer !== undefined || headers['sec-fetch-site'] !== undefined) {
    throw new Refusal(403, 'browsers may not use this RPC')
  }
  if (!LOCAL_NAMES.test(headers.host ?? '')) throw new Refusal(403, 'this RPC answers to loopback names only')
}

const CALLS = {
  'version': ({ helia }) => ({ Version: helia.info.version, Commit: '', Repo: '1', System: `helia/node-${process.version}` }),

  'id': ({ helia }) => ({
    ID: helia.libp2p.peerId.toString(),
    PublicKey: '',
    Addresses: helia.libp2p.getMultiaddrs().map(String),
    AgentVersion: `${helia.info.name}/${helia.info.version}`,
    Protocols: helia.libp2p.getProtocols()
  }),

  async 'add' ({ repository, request, query, maxUpload }) {
    const bytes = filePart(await readBody(request, maxUpload), request.headers['content-type'])
    const cid = await repository.add(bytes, query.get('pin') !== 'false')
    return { Name: cid.toString(), Hash: cid.toString(), Size: String(bytes.length) }
  },

  async 'cat' ({ repository, response, query, signal }) {
    const from = idsOf(query)
    const cid = cidOf(query)
    const offset = numberOf(query, 'offset', 0)
    const atMost = numberOf(query, 'length', Infinity)
    const length = Math.max(0, Math.min(atMost, await repository.size(cid, { signal, from }) - offset))
    response.setHeader('Content-Type', 'text/plain')
    response.setHeader('X-Content-Length', String(length))
    if (length > 0) {
      for await (const chunk of repository.cat(cid, { offset, length, signal, from })) {
        if (!response.write(chunk)) await once(response, 'drain', { signal })
      }
    }
    response.end()
  },

  async 'block/get' ({ repository, response, query, signal }) {
    const block = await repository.read(cidOf(query), { signal, from: idsOf(query) })
    response.setHeader('Content-Type', 'application/octet-stream')
    response.end(block)
  },

  async 'block/stat' ({ repository, query, signal }) {
    const cid = cidOf(query)
    return { Key: cid.toString(), Size: (await repository.read(cid, { signal, from: [] })).length }
  },

  async 'pin/add' ({ repository, query, signal }) {
    const cid = cidOf(query)
    await repository.pin(cid, { signal, from: idsOf(query) })
    return { Pins: [cid.toString()] }
  },

  async 'pin/rm' ({ repository, query }) {
    const cid = cidOf(query)
    if (!await repository.unpin(cid)) throw new Refusal(500, 'not pinned or pinned indirectly')
    return { Pins: [cid.toString()] }
  },

  async 'pin/ls' ({ repository, query }) {
    let pins = await repository.pins()
    if (query.has('arg')) {
      const cid = cidOf(query).toString()
      if (!pins.includes(cid)) throw new Refusal(500, `path '${cid}' is not pinned`)
      pins = [cid]
    }
    return { Keys: Object.fromEntries(pins.map((cid) => [cid, { Type: 'recursive' }])) }
  },

  async 'swarm/connect' ({ helia, query, signal }) {
    const address = addressOf(query)
    const wait = AbortSignal.any([signal, AbortSignal.timeout(DIAL_WAIT_MS)])
    const connection = await dialled(helia.libp2p, address, wait)
    await helia.libp2p.peerStore.merge(connection.remotePeer, { multiaddrs: [address], tags: { [KEEP_ALIVE]: {} } })
    return { Strings: [`connect ${connection.remotePeer} success`] }
  },

  'swarm/peers': ({ helia }) => ({
    Peers: helia.libp2p.getConnections().map((connection) => ({
      Addr: connection.remoteAddr.toString().replace(/\/p2p\/[^/]+$/, ''),
      Peer: connection.remotePeer.toString(),
      Direction: connection.direction === 'inbound' ? 1 : 2
    }))
  }),

  // Whose nodes have places of their own here. Kubo keeps connections to its peering's nodes, this node keeps room for them.
  async 'swarm/peering/add' ({ members, query }) {
    const [, address, id] = /^(.+)\/p2p\/([^/]+)$/.exec(addressOf(query).toString())
    await members.add(id, address)
    return { ID: id, Status: 'success' }
  },

  async 'swarm/peering/rm' ({ members, query }) {
    await members.remove(query.get('arg'))
    return { ID: query.get('arg'), Status: 'success' }
  },

  'swarm/peering/ls': ({ members }) => ({ Peers: members.list().map(([ID, address]) => ({ ID, Addrs: [address] })) }),

  // What this node is asking its peers for now.
  'bitswap/wantlist': ({ repository }) => ({ Keys: repository.wanted().map((cid) => ({ '/': cid.toString() })) }),

  // Not Kubo's: whether a connected peer says that it has a block.
  async 'bitswap/presence' ({ helia, repository, query, signal }) {
    const cid = cidOf(query)
    const peer = helia.libp2p.getPeers().find((id) => id.toString() === query.get('peer'))
    if (peer === undefined) throw new Refusal(500, 'not connected to that peer')
    const broker = helia.blockBrokers.find((broker) => broker.name === 'bitswap')
    return { Has: await presence(broker.bitswap, cid, peer, () => repository.wanted().some((other) => other.equals(cid)), signal) }
  },

  async 'repo/gc' ({ repository, response }) {
    const removed = await repository.collect()
    response.setHeader('Content-Type', 'application/json')
    response.end(removed.map((cid) => JSON.stringify({ Key: { '/': cid } }) + '\n').join(''))
  },

  async 'repo/stat' ({ repository }) {
    const { blocks, bytes } = await repository.usage()
    return { NumObjects: blocks, RepoSize: bytes, StorageMax: 0, RepoPath: repository.folder, Version: 'helia' }
  }
}

function cidOf (query) {
  try {
    return CID.parse((query.get('arg') ?? '').replace(/^\/ipfs\//, '')).toV1()
  } catch (error) {
    throw new Refusal(400, `invalid CID: ${error.message}`)
  }
}

/** Not Kubo's: the peers to ask first, in this order. Kubo passes over an option that it does not know. */
function idsOf (query) {
  return (query.get('from') ?? '').split(',').filter((id) => id !== '')
}

function addressOf (query) {
  let address
  try {
    address = multiaddr(query.get('arg') ?? '')
  } catch (error) {
    throw new Refusal(400, `invalid multiaddress: ${error.message}`)
  }
  if (!/\/p2p\/[^/]+$/.test(address.toString())) throw new Refusal(400, 'the multiaddress does not end in /p2p/<peer id>')
  return address
}

function numberOf (query, name, otherwise) {
  if (!query.has(name)) return otherwise
  const number = Number(query.get(name))
  if (!Number.isSafeInteger(number) || number < 0) throw new Refusal(400, `${name} is not a whole number`)
  return number
}

/** A node with a crowd at its door may send one off before its handshake is done, whoever it is: that is no reason to give up. */
async function dialled (libp2p, address, signal) {
  for (let tried = 1; ; tried++) {
    try {
      return await libp2p.dial(address, { signal })
    } catch (error) {
      if (tried === DIAL_TRIES || signal.aborted) throw error
      await pause(DIAL_PAUSE_MS, undefined, { signal })
    }
  }
}

/** Kubo's `timeout` option: a Go duration in ms, s or m. */
function waitOf (query) {
  if (!query.has('timeout')) return LONGEST_WAIT_MS
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(query.get('timeout'))
  if (match == null) throw new Refusal(400, 'timeout is not a duration such as 500ms, 20s or 5m')
  return Math.max(1, Math.min(LONGEST_WAIT_MS, Math.ceil(Number(match[1]) * { ms: 1, s: 1000, m: 60000 }[match[2]])))
}

async function readBody (request, limit) {
  const chunks = []
  let length = 0
  for await (const chunk of request) {
    length += chunk.length
    if (length > limit) throw new Refusal(413, `the upload is longer than ${limit} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** The bytes of the one part of a multipart body. */
function filePart (body, contentType) {
  const boundary = /^multipart\/form-data;.*boundary="?([^";]+)"?/i.exec(contentType ?? '')?.[1]
  if (boundary === undefined) throw new Refusal(400, 'add takes a multipart/form-data body')
  const open = Buffer.from(`--${boundary}\r\n`)
  const headersEnd = body.indexOf('\r\n\r\n', open.length)
  const close = Buffer.from(`\r\n--${boundary}--`)
  const end = body.lastIndexOf(close)
  const start = headersEnd + 4
  const another = body.indexOf(`\r\n--${boundary}\r\n`, start)
  if (!body.subarray(0, open.length).equals(open) || headersEnd < 0 || end < start || another >= 0) {
    throw new Refusal(400, 'the multipart body is not one whole file')
  }
  return body.subarray(start, end)
}

function json (response, status, value) {
  response.writeHead(status, { 'Content-Type': 'application/json' })
  response.end(JSON.stringify(value) + '\n')
}

function fail (response, error) {
  // Part of the answer has gone out as 200: cutting the connection is the only way left to say that it is not whole.
  if (response.headersSent) {
    response.destroy()
    return
  }
  const status = error instanceof Refusal ? error.status : 500
  if (status === 413) response.setHeader('Connection', 'close')
  json(response, status, { Message: error.message, Code: status === 500 ? 0 : 1, Type: 'error' })
}
