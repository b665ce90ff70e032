/** Who the gate lets in, with connections that only say where they come from. */
import assert from 'node:assert/strict'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import { Gate } from '../../ipfs/node/gate.mjs'
import { Members } from '../../ipfs/node/members.mjs'

const GUESTS = 4
const MINUTE = 60_001

const from = (address) => Object.assign(new EventTarget(), {
  remoteAddr: multiaddr(address),
  status: 'open',
  abort () {
    this.status = 'aborted'
    this.dispatchEvent(new Event('close'))
  }
})
const host = (number) => `/ip4/10.0.${number >> 8}.${number & 255}/tcp/1`

async function world (...addresses) {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'gate-'))
  const members = await Members.open(path.join(folder, 'members.json'))
  for (const [index, address] of addresses.entries()) await members.add(`member ${index}`, address)
  const time = { now: 0 }
  const rules = new Gate(members, GUESTS, () => time.now).rules()
  const knock = (connection) => !rules.denyInboundConnection(connection)
  const enter = (id, connection) => knock(connection) && !rules.denyInboundEncryptedConnection(id, connection)
  return { members, time, knock, enter, file: path.join(folder, 'members.json') }
}

test('members have places when all guests\' places are taken, from an address that guests have filled too', async () => {
  const { enter } = await world('/dns4/a.example/tcp/1')
  assert.deepEqual([1, 2, 3, 4, 5].map((n) => enter(`guest ${n}`, from(host(n)))), [true, true, true, true, false])
  assert.ok(enter('member 0', from(host(1))))
})

test('one address has half of the guests\' places', async () => {
  const { enter } = await world('/dns4/a.example/tcp/1')
  assert.deepEqual([1, 2, 3].map((n) => enter(`guest ${n}`, from(host(9)))), [true, true, false])
  assert.ok(enter('guest 4', from(host(8))))
})

test('after a minute a guest\'s place goes to a newcomer, and no sooner', async () => {
  const { enter, time } = await world('/dns4/a.example/tcp/1')
  const first = from(host(1))
  for (const connection of [first, from(host(2)), from(host(3)), from(host(4))]) assert.ok(enter('guest', connection))
  assert.ok(!enter('newcomer', from(host(5))))
  time.now = MINUTE
  assert.ok(enter('newcomer', from(host(5))))
  assert.equal(first.status, 'aborted')
})

test('a member\'s fifth connection takes the place of its first', async () => {
  const { enter } = await world(host(1))
  const own = Array.from({ length: 5 }, () => from(host(1)))
  assert.ok(own.every((connection) => enter('member 0', connection)))
  assert.deepEqual(own.map(({ status }) => status), ['aborted', 'open', 'open', 'open', 'open'])
})

test('who has not said who it is goes first where most of them come from', async () => {
  const { knock, enter } = await world(host(1))
  const crowd = Array.from({ length: 255 }, () => from(host(1)))
  assert.ok(crowd.every(knock), 'a member\'s address is not counted')
  const [early, late] = [from(host(7)), from(host(1))]
  assert.ok(knock(early) && knock(late))
  assert.deepEqual([early.status, late.status, crowd[0].status], ['open', 'open', 'aborted'])
  assert.ok(enter('member 0', from(host(1))))
})

test('an address that is no member\'s may knock forty times at once and ten times a second', async () => {
  const { knock, time } = await world(host(1))
  const knocks = () => Array.from({ length: 100 }, () => from('/ip6/2001:db8::1/tcp/1')).filter((c) => knock(c)).length
  assert.equal(knocks(), 40)
  time.now = 1000
  assert.equal(knocks(), 10)
  assert.ok(!knock(from('/ip6/2001:db8::2/tcp/1')), 'one host has the whole network of its address')
  assert.ok(knock(from('/ip6/2001:db8:0:1::1/tcp/1')))
})

test('an address that is none takes no other member\'s place', async () => {
  const { members, enter, file } = await world(host(1))
  await assert.rejects(members.add('member 9', '/ipcidr/1_0'))
  await members.add('member 2', host(2))
  await members.remove('member 0')
  assert.deepEqual(members.list(), [['member 2', host(2)]])
  assert.deepEqual((await Members.open(file)).list(), members.list())
  assert.ok(enter('member 2', from(host(2))))
})

test('members are known after a restart, and an unreadable list is none', async () => {
  const { members, file } = await world(host(1), host(2))
  await members.remove('member 1')
  assert.deepEqual((await Members.open(file)).list(), [['member 0', host(1)]])
  await fs.writeFile(file, '{')
  assert.equal((await Members.open(file)).known, false)
})
