/**
 * Asks one connected peer over Bitswap 1.2 whether it holds a block, without fetching it.
 */
import { base64 } from 'multiformats/bases/base64'
import { once } from 'node:events'

const FIRST_TRY_MS = 500
const LONGEST_TRY_MS = 4000

/**
 * Whether `peer` says that it has the block; rejects when `signal` aborts before it says anything. Answers carry no question: one given
 * to another question of the same moment counts. `fetching` tells whether the block is being fetched.
 */
export async function presence ({ wantList, network }, cid, peer, fetching, signal) {
  for (let wait = FIRST_TRY_MS; ; wait = Math.min(2 * wait, LONGEST_TRY_MS)) {
    signal.throwIfAborted()
    const answer = await ask(wantList, network, cid, peer, fetching, AbortSignal.any([signal, AbortSignal.timeout(wait)]))
    if (answer !== undefined) return answer
  }
}

async function ask (wantList, network, cid, peer, fetching, signal) {
  const digest = cid.multihash.bytes
  let heard
  const answer = new Promise((resolve) => {
    heard = ({ detail }) => {
      if (peer.equals(detail.sender) && Buffer.compare(detail.cid.multihash.bytes, digest) === 0) resolve(detail.has)
    }
  })
  wantList.addEventListener('presence', heard)
  // A peer answers a want once and then remembers it, so each question begins and ends with taking it back; a fetch under way keeps its own.
  const forget = async () => {
    if (!fetching()) await network.sendMessage(peer, want(cid, { cancel: true }), { signal: AbortSignal.timeout(LONGEST_TRY_MS) })
  }
  try {
    await forget()
    await network.sendMessage(peer, want(cid, { wantType: 'WantHave', sendDontHave: true }), { signal })
    return await Promise.race([answer, once(signal, 'abort').then(() => undefined)])
  } finally {
    wantList.removeEventListener('presence', heard)
    forget().catch(() => {})
  }
}

/** A message to one peer with one entry of a want list. */
function want (cid, entry) {
  const key = base64.encode(cid.multihash.bytes)
  const wantlist = new Map([[key, { cid: cid.bytes, priority: 1, ...entry }]])
  return { full: false, pendingBytes: 0, wantlist, blocks: new Map(), blockPresences: new Map() }
}
