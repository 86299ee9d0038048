// Publish deposits, one a line of standard input: ID TIME ACCOUNT AMOUNT CURRENCY [ORDERING_KEY].
//
//   npm ci && npm run build
//   echo "dep-1 $(date -u +%FT%TZ) liabilities:deposits:2378 12.34 CAD" | node build/publisher.js
//
// Prints the id, the shard and the offset of each. Run again with the same lines, it changes
// nothing.

import { createInterface } from "node:readline";
import { Partitioners } from "kafkajs";
import { kafka, registry } from "./connection.js";

const TOPIC = "ledger.transactions";
const ATTEMPTS = 5;

/** A transaction of two entries. Its id and its times are those of the event, never new ones. */
function deposit(line: string) {
  const [id, time, account, amount, currency, orderingKey] = line.trim().split(/\s+/);
  // The amount is text from end to end: no Number.
  const leg = (account: string, side: string) => ({ account, side, amount, currency });
  const microseconds = microsecondsOf(time!);
  return {
    transaction_id: id!,
    kind: "deposit",
    effective_at: microseconds,
    created_at: microseconds,
    ordering_key: orderingKey ?? null,
    entries: [leg("assets:cash:settlement", "debit"), leg(account!, "credit")],
  };
}

/** Since 1970. Date has milliseconds only, and takes a time without an offset for a local one. */
function microsecondsOf(time: string): number {
  const [, seconds, fraction, offset] = /^([^.]+?)(?:\.(\d{1,6}))?(Z|[+-]\d\d:\d\d)$/.exec(time) ?? [];
  const milliseconds = Date.parse(`${seconds}${offset}`);
  if (Number.isNaN(milliseconds)) throw new Error(`${time} is no RFC 3339 time with an offset`);
  return milliseconds * 1000 + Number((fraction ?? "").padEnd(6, "0"));
}

const schemas = registry();
const schemaId = await schemas.getLatestSchemaId(`${TOPIC}-value`);
const producer = kafka().producer({
  idempotent: true,
  maxInFlightRequests: 1,
  createPartitioner: Partitioners.DefaultPartitioner, // Java's; LegacyPartitioner is not
});
await producer.connect();

async function publish(transaction: ReturnType<typeof deposit>): Promise<void> {
  const key = transaction.ordering_key ?? transaction.transaction_id;
  const value = await schemas.encode(schemaId, transaction);
  for (let attempt = 1; ; attempt++) {
    try {
      // Again under the same id where it is not known whether it arrived: it counts once.
      const [sent] = await producer.send({ topic: TOPIC, acks: -1, messages: [{ key, value }] });
      console.log(transaction.transaction_id, sent!.partition, sent!.baseOffset);
      return;
    } catch (error) {
      console.error(transaction.transaction_id, error);
      if (attempt === ATTEMPTS) throw error; // run it again with the same lines
    }
  }
}

for await (const line of createInterface({ input: process.stdin })) await publish(deposit(line));
await producer.disconnect();
