"""Take deposits through the API, one a line of standard input: ID TIME ACCOUNT AMOUNT CURRENCY.

    pip install -r requirements.txt
    echo "dep-1 $(date -u +%FT%TZ) liabilities:deposits:2378 12.34 CAD" | python backend.py

Prints how far each is, and the account's balance with it. Run again with the same lines, it changes
nothing. API is the address of an API process, TOKEN a bearer token with the scopes publish and
read, API_CA_FILE the certificate authority of a secure ledger.
"""

import os
import ssl
import sys
import time

import httpx

ATTEMPTS, UNKNOWN = 8, (429, 503)
ca_file = os.environ.get("API_CA_FILE")
api = httpx.Client(
    base_url=f"{os.environ['API']}/v1",
    headers={"Authorization": f"Bearer {os.environ['TOKEN']}"},
    verify=ssl.create_default_context(cafile=ca_file),
    timeout=30,
)


def deposit(line: str) -> dict:
    """A transaction of two entries. Its id and its times are those of the event, never new ones."""
    name, at, account, amount, currency = line.split()
    legs = (("assets:cash:settlement", "debit"), (account, "credit"))
    return {
        "transaction_id": name,
        "kind": "deposit",
        "effective_at": at,
        "created_at": at,
        "entries": [
            # The amount is text from end to end: no float.
            {"account": path, "side": side, "amount": amount, "currency": currency}
            for path, side in legs
        ],
    }


def publish(transaction: dict) -> dict:
    """Its answer, once its outcome is known: sent again under the same id, it counts once."""
    pause = 0.0
    for _ in range(ATTEMPTS):
        time.sleep(pause)
        try:
            prefer = {"Prefer": "wait=reconciled"}
            answer = api.post("/transactions", json=transaction, headers=prefer)
        except httpx.TransportError as error:
            print(transaction["transaction_id"], error, file=sys.stderr)
            pause = 1.0
            continue
        if answer.status_code not in UNKNOWN:
            return answer.json()
        pause = float(answer.headers["Retry-After"])
    sys.exit("Not known whether all arrived: run it again with the same lines.")


for line in sys.stdin:
    transaction = deposit(line)
    written, account = publish(transaction), transaction["entries"][1]["account"]
    if "code" in written:
        sys.exit(f"{transaction['transaction_id']} {written['code']}: {written['detail']}")
    # Whichever process answers, the balance includes it.
    found = api.get(f"/balances/{account}", params={"after": written["token"]}).raise_for_status()
    for balance in found.json()["balances"]:
        print(
            written["transaction_id"],
            written["status"],
            balance["posted"],
            balance["currency"],
            flush=True,
        )
