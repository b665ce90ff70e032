/**
 * Whose nodes are the consortium's: peer ids with an address each, as this organisation's agents read them from the chain and told them.
 * They are kept in a file, so that a node that starts before any agent knows them already.
 */
import { multiaddr } from '@multiformats/multiaddr'
import fs from 'node:fs/promises'

const IP4 = 4
const IP6 = 41
const MAPPED_IP4 = '00000000000000000000ffff'

/** Where an address is: an IPv4 address, or the IPv6 network of 64 bits that one host has for itself. */
export function placeOf (address) {
  const bytes = Buffer.from(address.bytes)
  if (bytes[0] === IP4) return bytes.subarray(1, 5).toString('hex')
  if (bytes[0] !== IP6) return address.toString()
  const ip = bytes.subarray(1, 17).toString('hex')
  return ip.startsWith(MAPPED_IP4) ? ip.slice(MAPPED_IP4.length) : ip.slice(0, 16)
}

export class Members {
  #file
  #addresses = new Map() // peer id -> multiaddress without /p2p/...
  #places = new Set()
  #writing = Promise.resolve()

  constructor (file) {
    this.#file = file
  }

  static async open (file) {
    const members = new Members(file)
    try {
      members.#addresses = new Map(Object.entries(JSON.parse(await fs.readFile(file, 'utf8'))))
      members.#locate()
    } catch (error) {
      // One that cannot be read is told anew by the next agent.
      if (error.code !== 'ENOENT') console.error(`${file} is not read: ${error.message}`)
    }
    return members
  }

  get known () {
    return this.#addresses.size > 0
  }

  has (peer) {
    return this.#addresses.has(peer.toString())
  }

  /** Whether a member has its node at that place; of those that registered a name, this is not known. */
  at (place) {
    return this.#places.has(place)
  }

  /** [peer id, address] pairs. */
  list () {
    return [...this.#addresses]
  }

  /** Throws for an address that is none: multiaddresses are taken apart only when they are asked for something. */
  async add (id, address) {
    placeOf(multiaddr(address))
    this.#addresses.set(id, address)
    return this.#write()
  }

  remove (id) {
    this.#addresses.delete(id)
    return this.#write()
  }

  #locate () {
    this.#places = new Set([...this.#addresses.values()].map((address) => placeOf(multiaddr(address))))
  }

  #write () {
    this.#locate()
    this.#writing = this.#writing.catch(() => {}).then(async () => {
      await fs.writeFile(`${this.#file}.new`, JSON.stringify(Object.fromEntries(this.#addresses)))
      await fs.rename(`${this.#file}.new`, this.#file)
    })
    return this.#writing
  }
}
