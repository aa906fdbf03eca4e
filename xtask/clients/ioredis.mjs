// ioredis, one node and cluster: what an application sees while nodes come and go.
//
//     node ioredis.mjs PLAIN CLUSTER,CLUSTER,...      addresses, host:port
//
// It says "ready" once everyday commands have been tried, and then works until its input ends. Every answer has to be right,
// and no error is caught.

import assert from "node:assert/strict";
import { Cluster, Redis } from "ioredis";

const KEYS = 50;
// No other run has these keys.
const PREFIX = `ioredis:${process.pid}`;

function address(text) {
  const [host, port] = text.split(":");
  return { host, port: Number(port) };
}

/** Commands that any application uses. */
async function everyday(client, prefix) {
  const key = `${prefix}:{everyday}:`;
  assert.equal(await client.set(key + "text", "hello", "EX", 100), "OK");
  assert.equal(await client.get(key + "text"), "hello");
  assert.ok((await client.ttl(key + "text")) > 0);
  assert.equal(await client.set(key + "text", "again", "NX"), null);
  assert.equal(await client.incrby(key + "number", 42), 42);
  assert.equal(await client.mset(key + "a", "1", key + "b", "2"), "OK");
  assert.deepEqual(await client.mget(key + "a", key + "b", key + "c"), ["1", "2", null]);
  assert.deepEqual(await client.multi().incr(key + "number").get(key + "number").exec(), [
    [null, 43],
    [null, "43"],
  ]);
  assert.equal(await client.del(key + "a", key + "b"), 2);
  await assert.rejects(client.incr(key + "text"), /not an integer/);
}

/** Writes, reads and counts until told to stop. */
async function work(client, prefix, going) {
  const keys = Array.from({ length: KEYS }, (_, n) => `${prefix}:${n}`);
  let rounds = 0;
  while (rounds === 0 || going()) {
    rounds += 1;
    for (const key of keys) {
      assert.equal(await client.set(key, `${key}-${rounds}`), "OK");
      assert.equal(await client.incr(`${key}:count`), rounds);
    }
    // All at once.
    const values = await Promise.all(keys.map((key) => client.get(key)));
    assert.deepEqual(values, keys.map((key) => `${key}-${rounds}`));
  }
  return rounds * KEYS * 3;
}

const [plain, cluster] = process.argv.slice(2);
const clients = [
  [new Redis({ ...address(plain), maxRetriesPerRequest: 0 }), PREFIX],
  [new Cluster(cluster.split(",").map(address)), `${PREFIX}:cluster`],
];
for (const [client, prefix] of clients) {
  await everyday(client, prefix);
}
console.log("ready");
let open = true;
process.stdin.on("end", () => (open = false)).resume();
const done = await Promise.all(clients.map(([client, prefix]) => work(client, prefix, () => open)));
console.log(`${done.reduce((sum, operations) => sum + operations)} operations`);
clients.forEach(([client]) => client.disconnect());
