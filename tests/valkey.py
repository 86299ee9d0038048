"""A real Valkey for a test: the protocol, Pub/Sub and scripts of Redis."""

