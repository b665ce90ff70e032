#!/usr/bin/env node
/**
 * The embedded IPFS node: Helia (libp2p + Bitswap) behind the part of Kubo's RPC that this product uses.
 *
 *   node node.mjs --repo DIR [--rpc-host 127.0.0.1] [--rpc-port 0] [--listen MULTIADDR]... [--announce MULTIADDR]...
 *                 [--max-upload BYTES] [--guests N] [--swarm-key FILE] [--exit-with-stdin]
 *
 * When ready it prints one JSON line: {"rpc": multiaddr, "peer_id": text, "listen": [multiaddrs with /p2p/...]}.
 * SIGTERM and SIGINT stop it cleanly; SIGKILL loses nothing that was answered.
 */
import { identify } from '@libp2p/identify'
import { preSharedKey } from '@libp2p/pnet'
import { tcp } from '@libp2p/tcp'
import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { FsDatastore } from 'datastore-fs'
import { createHeliaLight } from 'helia'
import fs from 'node:fs/promises'
import net from 'node:net'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { Gate } from './node/gate.mjs'
import { Members } from './node/members.mjs'
import { Repository } from './node/repository.mjs'
import { serveRpc } from './node/rpc.mjs'

const OPTIONS = {
  repo: { type: 'string' },
  'rpc-host': { type: 'string', default: '127.0.0.1' },
  'rpc-port': { type: 'string', default: '0' },
  listen: { type: 'string', multiple: true, default: ['/ip4/127.0.0.1/tcp/0'] },
  announce: { type: 'string', multiple: true, default: [] },
  'max-upload': { type: 'string', default: String(512 * 1024 * 1024) },
  // Places for connections of nodes that are not the members'.
  guests: { type: 'string', default: '32' },
  'swarm-key': { type: 'string' },
  'exit-with-stdin': { type: 'boolean', default: false }
}

const HANDSHAKE_MS = 5000

class UsageError extends Error {}

function readOptions () {
  let values
  try {
    values = parseArgs({ options: OPTIONS }).values
  } catch (error) {
    throw new UsageError(error.message)
  }
  if (!values.repo) throw new UsageError('--repo is required')
  const host = values['rpc-host']
  // INVARIANT: whoever reaches the RPC controls the node, so it is never bound to an address that others can reach.
  const loopback = (net.isIPv4(host) && host.startsWith('127.')) || host === '::1'
  if (!loopback) throw new UsageError(`--rpc-host ${host} is not a loopback address`)
  return {
    repo: path.resolve(values.repo),
    host,
    port: wholeNumber(values, 'rpc-port', 0, 65535),
    listen: values.listen,
    announce: values.announce,
    maxUpload: wholeNumber(values, 'max-upload', 1, 2 ** 31),
    guests: wholeNumber(values, 'guests', 2, 10000),
    swarmKey: values['swarm-key'],
    exitWithStdin: values['exit-with-stdin']
  }
}

function wholeNumber (values, name, low, high) {
  const number = Number(values[name])
  if (!Number.isInteger(number) || number < low || number > high) throw new UsageError(`--${name} must be in ${low}..${high}`)
  return number
}

async function readSwarmKey (file) {
  try {
    const psk = await fs.readFile(file)
    preSharedKey({ psk })() // it reads the key
    return psk
  } catch (error) {
    throw new UsageError(`--swarm-key ${file}: ${error.message}`)
  }
}

async function startHelia (options, repository, members) {
  const gate = new Gate(members, options.guests)
  const psk = options.swarmKey === undefined ? undefined : await readSwarmKey(options.swarmKey)
  const datastore = new FsDatastore(path.join(options.repo, 'data'))
  await datastore.open()
  const helia = withBitswap(
    withLibp2pLight(createHeliaLight({ blockstore: repository.blockstore, datastore }), {
      addresses: { listen: options.listen, announce: options.announce },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      connectionProtector: psk && preSharedKey({ psk }),
      connectionGater: gate.rules(),
      // Libp2p's own limits are the same for everybody, so that strangers use them up: the gate has those that hold.
      connectionManager: {
        maxConnections: Infinity,
        inboundConnectionThreshold: Infinity,
        maxIncomingPendingConnections: Infinity,
        inboundUpgradeTimeout: HANDSHAKE_MS
      },
      services: { identify: identify() }
    }),
    // Bitswap drops what exceeds the first two: one entry is one 256 KiB block, and a round is several blobs from several peers at once.
    // All messages under way share the last: whoever does not read holds one of them for as long as the timeout.
    { maxWantListSize: 16384, sendBlocksMaxQueueLength: 4096, messageSendTimeout: 60_000, messageSendConcurrency: 1024 }
  )
  await helia.start()
  repository.attach(helia, members)
  return helia
}

async function main () {
  const options = readOptions()
  process.umask(0o077)
  await fs.mkdir(options.repo, { recursive: true, mode: 0o700 })
  await fs.chmod(options.repo, 0o700)
  const repository = await Repository.open(options.repo)
  const members = await Members.open(path.join(options.repo, 'members.json'))
  const helia = await startHelia(options, repository, members)
  const server = await serveRpc({ helia, repository, members, host: options.host, port: options.port, maxUpload: options.maxUpload })

  let stopping = false
  const stop = async () => {
    if (stopping) return
    stopping = true
    const impatient = setTimeout(() => process.exit(1), 5000)
    server.close()
    server.closeAllConnections()
    await helia.stop()
    clearTimeout(impatient)
    process.exit(0)
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  if (options.exitWithStdin) {
    process.stdin.on('end', stop).on('close', stop).on('error', stop).resume()
  }

  const { address, port } = server.address()
  const family = net.isIPv4(address) ? 'ip4' : 'ip6'
  const ready = {
    rpc: `/${family}/${address}/tcp/${port}`,
    peer_id: helia.libp2p.peerId.toString(),
    listen: helia.libp2p.getMultiaddrs().map(String)
  }
  process.stdout.write(JSON.stringify(ready) + '\n')
}

// A stream broken by a remote peer must not end the node; an exception of our own must.
process.on('unhandledRejection', (reason) => console.error('unhandled rejection:', reason))

main().catch((error) => {
  if (!(error instanceof UsageError)) console.error(error)
  console.error(`node.mjs: ${error.message}`)
  process.exit(error instanceof UsageError ? 2 : 1)
})
