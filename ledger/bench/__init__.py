"""The bench: throughput, latency and cost of the ledger on one machine."""
