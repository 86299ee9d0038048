// Take deposits through the API, one a line of standard input: ID TIME ACCOUNT AMOUNT CURRENCY.
//
//   npm ci && npm run build
//   echo "dep-1 $(date -u +%FT%TZ) liabilities:deposits:2378 12.34 CAD" | node build/backend.js
//
// Prints how far each is, and the account's balance with it. Run again with the same lines, it
// changes nothing. API is the address of an API process, TOKEN a bearer token with the scopes
// publish and read; NODE_EXTRA_CA_CERTS the certificate authority of a secure ledger.

import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const ATTEMPTS = 8;
const headers = { Authorization: `Bearer ${process.env.TOKEN}`, "Content-Type": "application/json" };

/** A transaction of two entries. Its id and its times are those of the event, never new ones. */
function deposit(line: string) {
  const [id, time, account, amount, currency] = line.trim().split(/\s+/) as string[];
  // The amount is text from end to end: no Number.
  const leg = (account: string, side: string) => ({ account, side, amount, currency });
  return {
    transaction_id: id!,
    kind: "deposit",
    effective_at: time!,
    created_at: time!,
    entries: [leg("assets:cash:settlement", "debit"), leg(account!, "credit")],
  };
}

function ask(path: string, options: RequestInit = {}): Promise<Response> {
  const signal = AbortSignal.timeout(30_000);
  return fetch(`${process.env.API}/v1${path}`, { signal, ...options, headers: { ...headers, ...options.headers } });
}

/** Its answer, once its outcome is known: sent again under the same id, it counts once. */
async function publish(transaction: ReturnType<typeof deposit>): Promise<any> {
  const body = JSON.stringify(transaction);
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    try {
      const answer = await ask("/transactions", { method: "POST", headers: { Prefer: "wait=reconciled" }, body });
      if (answer.status !== 429 && answer.status !== 503) return await answer.json();
      await sleep(1_000 * Number(answer.headers.get("Retry-After")));
    } catch (error) {
      console.error(transaction.transaction_id, error);
      await sleep(1_000);
    }
  }
  return fail("Not known whether all arrived: run it again with the same lines.");
}

function fail(why: string): never {
  console.error(why);
  process.exit(1);
}

for await (const line of createInterface({ input: process.stdin })) {
  const transaction = deposit(line);
  const written = await publish(transaction);
  if (written.code !== undefined) fail(`${transaction.transaction_id} ${written.code}: ${written.detail}`);
  // Whichever process answers, the balance includes it.
  const answer = await ask(`/balances/${transaction.entries[1]!.account}?after=${written.token}`);
  const found: any = await answer.json();
  if (!answer.ok) fail(`${found.code}: ${found.detail}`);
  for (const { posted, currency } of found.balances) {
    console.log(transaction.transaction_id, written.status, posted, currency);
  }
}
