"""The independent audit behind `faust-ledger reconcile`.

Every party states its own position: the journal a shard's watermark, a stripe the last
transaction that it counts, a balance a version. The audit collects what they state, then reads
log and decisions from their beginning, folds them once, and checks each statement as its position
is passed. So it is exact while everything moves, and needs no more memory than the stripes have.

Independent means: of `ledger.domain` it uses names and decoding (Stripe, Totals, Watermark, Avro)
and no rule. Chain, fold, amounts, sums and sides are written here once more, and differently, and
so is what must become of a record (`rules`, `judge`, `known`), from docs/producers.md; of the
domain's the partitioner alone is shared. A change of a rule is made twice, or the audit says so.
"""
