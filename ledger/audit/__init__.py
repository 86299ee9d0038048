"""The independent audit behind `faust-ledger reconcile`.

Every party states its own position: the journal a shard's watermark, a stripe the last
transaction that it counts, a balance a version. The audit collects these statements, then reads
log and decisions from their beginning, folds them once, and checks each statement when the fold
reaches its position. So it is exact while everything moves, and its memory is bounded by the
stripes and the accepted ids.

The audit is independent: it uses names and decoding of `ledger.domain` (Stripe, Totals, Watermark,
Avro) and no rule of it except the partitioner. Chain, fold, amounts, sums and sides are
implemented here a second time, and so are the rules by which a record is decided (`rules`,
`judge`, `reference`), from docs/producers.md. A change of a rule is made in both places, or the
audit reports it as a break.
"""
