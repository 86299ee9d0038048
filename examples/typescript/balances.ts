// Print the balances of some accounts, or of all, and then every change: ACCOUNT...
//
//   npm ci && npm run build
//   node build/balances.js liabilities:deposits:2378
//
// Prints account, currency, posted, pending and status: `reconciled` once the general ledger
// agrees.

import { randomUUID } from "node:crypto";
import type { KafkaMessage } from "kafkajs";
import { kafka, registry } from "./connection.js";

const TOPIC = "ledger.balances";

type Balance = Record<"account" | "currency" | "posted" | "pending" | "status", string> & {
  version: number;
};

const accounts = process.argv.slice(2);
const schemas = registry();
const client = kafka();
const balances = new Map<string, Balance>();

const admin = client.admin();
await admin.connect();
const offsets = await admin.fetchTopicOffsets(TOPIC);
await admin.disconnect();
/** The ends of the partitions that are not read up to there yet. */
const behind = new Map(
  offsets.filter(({ low, high }) => low !== high).map(({ partition, high }) => [partition, BigInt(high)]),
);

function show({ account, currency, posted, pending, status }: Balance): void {
  if (accounts.length > 0 && !accounts.includes(account)) return;
  console.log(account, currency, posted, pending, status);
}

async function take({ key, value }: KafkaMessage): Promise<void> {
  const name = key!.toString();
  if (value === null) {
    balances.delete(name); // withdrawn, whatever its version: take what follows
    return;
  }
  const balance: Balance = await schemas.decode(value);
  const known = balances.get(name);
  if (known !== undefined && balance.version < known.version) return; // an older one, late
  balances.set(name, balance);
  if (behind.size === 0) show(balance);
}

// A group of its own, because every process reads everything; the role backend may use this prefix.
const consumer = client.consumer({ groupId: `backend-balances-${randomUUID()}` });
consumer.on(consumer.events.CRASH, ({ payload }) => {
  if (payload.restart) return;
  console.error(payload.error);
  process.exit(1); // else the program would end as if all were well
});
await consumer.connect();
await consumer.subscribe({ topics: [TOPIC], fromBeginning: true });
/** Everything that was there has been read. */
function read(): void {
  clearTimeout(quiet);
  behind.clear();
  balances.forEach(show);
}
// Compaction may have removed the last record of a partition: then nothing comes for so long.
const quiet = setTimeout(read, 5_000);
await consumer.run({
  autoCommit: false,
  eachMessage: async ({ partition, message }) => {
    await take(message);
    const end = behind.get(partition);
    if (end === undefined) return;
    quiet.refresh();
    if (BigInt(message.offset) + 1n >= end) behind.delete(partition);
    if (behind.size === 0) read();
  },
});
