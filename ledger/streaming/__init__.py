"""Kafka, the registry and RocksDB: runs of records, whole batches, tables."""
