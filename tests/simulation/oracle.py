"""What must be true, by a plain model that knows nothing of the agents' code."""

import struct
from bisect import bisect_left
from collections import defaultdict
from hashlib import sha256

from ledger.domain import avro
from ledger.domain.partition import partition_of
from ledger.domain.policy import DAY
from ledger.domain.reference import PolicyChange
from ledger.domain.run import Content, Outcomes
from ledger.streaming.reference import item_of
from ledger.streaming.stripe_rows import MARK, RowCodec, decode_mark
from tests.simulation.book import Known, Shard, decimal

_HEAD = struct.Struct(">iqqqqq")


class Oracle:
    """Looks at whatever lands, and says `world.fail` of what is wrong."""

    def __init__(self, world):
        self._world, shards = world, world.settings.shards
        self.shards = [Shard(number) for number in range(shards)]
        # The reference topic: by record (offset, item), and the digest of all before each offset.
        self.reference, self.digests = [], {0: bytes(32)}
        # By shard: how much of it the last run knew.
        self.known = [0] * shards
        # By shard: the valid chain as (decisions offset, end, digest, recorded until), rising.
        self.chains = [[(0, 0, bytes(32), 0)] for _ in range(shards)]
        # By shard: what each valid run says, by its place in the decision log.
        self.landed_runs = [{} for _ in range(shards)]
        self.posted_end = [0] * shards
        self.compared, self.last_progress = [0] * shards, [0] * shards
        self.rejects = set()
        self.balances, self.versions = {}, {}
        # By key: what compaction keeps.
        self.last = {}
        # By partition of the balances: all that were ever there, and what their coverage says.
        self.published = defaultdict(list)
        self.covered = {}
        # By shard and stripe: the newest row's transaction in the changelog.
        self.kept = [{} for _ in range(shards)]
        self._rows = RowCodec(world.codec)
        names = world.names
        take = {
            names.decisions.name: self._decision, names.posted.name: self._posted,
            names.stripes.name: self._stripe, names.stripes_changelog.name: self._changelog,
            names.progress.name: self._progress, names.rejects.name: self._reject,
            names.breaks.name: self._break, names.balances.name: self._balance,
            names.reference.name: self._refer, names.coverage.name: self._coverage,
        }  # fmt: skip
        self._take = take

    def landed(self, where, records):
        """A batch was appended."""
        take = self._take.get(where.topic)
        if take is not None:
            for record in records:
                take(record)

    def _refer(self, record):
        self.reference.append((record.offset, item_of(self._row("Reference", record))))
        before = self.digests[max(self.digests)]
        parts = sha256(record.key).digest() + sha256(record.value).digest()
        made = sha256(before + record.offset.to_bytes(8, "big") + parts).digest()
        self.digests[record.offset + 1] = made

    def _may_decide(self, process):
        """Unless somebody has set for it what the ledger never had."""
        window = process.settings.window_days * DAY
        known = (item.policy for _, item in self.reference if isinstance(item, PolicyChange))
        return process.may_decide or any(policy.window == window for policy in known)

    def _known_at(self, position):
        known = Known()
        for offset, item in self.reference:
            if offset < position:
                known.take(offset, item)
        return known

    def sending(self, process, topic, records):
        """Nobody sends whose lease has lapsed, and nobody takes back a balance of its own."""
        self._check(
            topic != self._world.names.decisions.name or self._may_decide(process),
            f"{process} decides by settings of its own",
        )
        age = process.unconfirmed()
        self._check(
            age <= process.settings.session_timeout_seconds,
            f"{process} sends to {topic} {age:.1f} s after its last heartbeat",
        )

        if topic == self._world.names.balances.name:
            for key, value in records:
                row = self._world.codec.decode("Balance", value)
                owner = process, process.app.consumer_generation_id, key
                known = self.versions.get(owner, 0)
                self._check(row["version"] >= known, f"a version fell below {known}:", row)
                self.versions[owner] = row["version"]

    def _check(self, holds, *what):
        if not holds:
            self._world.fail(" ".join(map(str, what)))

    def _row(self, name, record):
        return self._world.codec.decode(name, record.value)

    def _decision(self, record):
        row, shard = self._row("Decision", record), record.partition
        _, end, digest, until = self.chains[shard][-1]
        if row["start"] != end or row["follows"] != digest:
            self._again(record, row, shard)
            return
        head = _HEAD.pack(
            shard,
            row["start"],
            row["end"],
            row["recorded_until"],
            row["reference_offset"],
            row["accepted"],
        )
        outcomes_digest = sha256(row["outcomes"]).digest()
        if row["voids"]:
            both = outcomes_digest + sha256(row["voids"]).digest()
            outcomes_digest = sha256(both).digest()
        parts = sha256(row["content"]).digest() + outcomes_digest
        links = row["follows"] + row["reference_digest"]
        made = sha256(b"faust-ledger run 2\n" + head + links + parts).digest()
        self.chains[shard].append((record.offset + 1, row["end"], made, row["recorded_until"]))
        content, outcomes = Content.decode(row["content"]), Outcomes.decode(row["outcomes"])
        said = dict.fromkeys(content.offsets, "accepted")
        said |= dict.fromkeys(outcomes.duplicates, "duplicate")
        said |= {each.offset: each.code for each in outcomes.refused}
        voids = avro.decode("Voids", row["voids"])["voided"] if row["voids"] else []
        said |= {each["offset"]: "void" for each in voids}
        count = len(content.offsets) + len(outcomes.duplicates) + len(outcomes.refused) + len(voids)
        self._check(count == len(said), "an offset was decided twice", shard, sorted(said))
        self._check(row["recorded_until"] >= until, "recorded_until fell in shard", shard)
        self.shards[shard].run = record.offset
        same = (row["start"], row["end"], row["content"], row["outcomes"], row["voids"])
        self.landed_runs[shard][record.offset] = same
        self._decided(row, shard, said)
        taken = {Content.decode(each["content"]).offsets[0] for each in voids}
        self._check(taken <= self.shards[shard].voided, f"shard {shard} voided", taken)

    def _again(self, record, row, shard):
        """A run that counts may have landed twice: a leave that names the second is as good."""
        same = (row["start"], row["end"], row["content"], row["outcomes"], row["voids"])
        for offset, known in self.landed_runs[shard].items():
            if known == same:
                self.shards[shard].twice[record.offset] = offset

    def _decided(self, row, shard, said):
        """With what was known, and as that has it."""
        model, position = self.shards[shard], row["reference_offset"]
        self._check(position >= self.known[shard], f"shard {shard} forgot reference data:", row)
        self.known[shard] = position
        self._check(
            row["reference_digest"] == self.digests.get(position),
            f"shard {shard} names another digest of the reference data than they had at {position}",
        )
        wrong = model.decide(row["end"], self._known_at(position), said)
        self._check(not wrong, f"shard {shard} decided {'; '.join(wrong)}")
        positions = {each.offset for each in model.published}
        self._check(said.keys() <= positions, "decided what nobody published:", said)
        self._check(
            row["recorded_until"] == model.until, f"shard {shard} recorded until", row, model.until
        )
        ahead = model.until - self._world.present()
        self._check(ahead <= 60_000_000, f"shard {shard} is recorded {ahead} us ahead")

    def _at(self, shard, decisions_offset):
        """The chain's watermark at an offset of the decision log, or None."""
        return next((each for each in self.chains[shard] if each[0] == decisions_offset), None)

    def posted(self, prepared):
        """The journal took these."""
        for each in prepared:
            shard, mark = each.posting.shard, each.after
            state = self._world.journal._shards[shard]
            chain = self._at(shard, mark.decisions_offset)
            self._check(
                chain == (mark.decisions_offset, mark.end, mark.digest, mark.recorded_until),
                f"posted what is not the chain of shard {shard}: {mark}",
            )
            accepted = self.shards[shard].accepted
            wanted = accepted[: bisect_left(accepted, mark.end)]
            found = [transaction.offset for transaction in state.transactions]
            void = {each.offset for each in state.voids}
            self._check(void <= self.shards[shard].voided, f"void in shard {shard}: {void}")
            # What counts for nothing may be there, or not.
            wanted = [each for each in wanted if each not in void or each in found]
            self._check(found == wanted, f"journal of shard {shard} has {found}, expected {wanted}")
            for transaction in state.transactions[-len(wanted) :]:
                net = {}
                for _, currency, _, amount in transaction.entries:
                    net[currency] = net.get(currency, 0) + amount
                self._check(not any(net.values()), "not balanced in the journal", transaction)
            self.posted_end[shard] = max(mark.end, self.posted_end[shard])

    def folding(self, folds):
        """History is about to take these."""
        for fold in folds:
            end = fold.runs[-1].after.end
            self._check(
                end <= self.compared[fold.shard],
                f"shard {fold.shard} is folded to {end} and compared to {self.compared[fold.shard]}",
            )

    def _posted(self, record):
        row, shard = self._row_of_chain("Posted", record)
        columns = (
            row[name]
            for name in ("accounts", "currencies", "debits", "credits", "entries", "offsets")
        )
        for account, currency, debits, credits, entries, offset in zip(*columns, strict=True):
            self._totals(
                shard, (account, currency), (int(debits), int(credits), entries, offset), "posted"
            )

    def _row_of_chain(self, schema, record):
        """The row and its shard; what it says of a position is what the chain has there."""
        row, shard = self._row(schema, record), record.partition
        chain = self._at(shard, row["decisions_offset"])
        self._check(
            chain is not None and chain[1:3] == (row["end"], row["digest"]),
            f"{schema} of shard {shard} is not of the chain:",
            row,
        )
        return row, shard

    def _totals(self, shard, stripe, totals, where):
        """Totals of a stripe are those after one of its transactions, or of none."""
        if totals[3] >= 0:
            history = self.shards[shard].history.get(stripe, ())
            self._check(
                totals in history,
                where,
                "says of shard",
                shard,
                stripe,
                totals,
                "and it was",
                history,
            )

    def _stripe(self, record):
        account, currency, shard = record.key.decode().split(" ")
        self._stripe_row(int(shard), (account, currency), record.value, "stripes")

    def _changelog(self, record):
        shard = record.partition
        if record.key == MARK:
            mark = decode_mark(record.value)
            chain = self._at(shard, mark.stream.decisions_offset)
            self._check(
                chain is not None and chain[2] == mark.stream.digest,
                "a mark beside the chain",
                shard,
                mark,
            )
            self._check_kept(shard, mark.stream.end)
            return
        account, currency = record.key[1:].decode().split(" ")
        row = self._stripe_row(shard, (account, currency), record.value, "changelog")
        kept = self.kept[shard]
        kept[account, currency] = max(row.live.offset, kept.get((account, currency), -1))

    def _check_kept(self, shard, end):
        """Whoever has only the changelog has all rows that its mark speaks of."""
        for stripe, history in self.shards[shard].history.items():
            last = next((each[3] for each in reversed(history) if each[3] < end), -1)
            self._check(
                self.kept[shard].get(stripe, -1) >= last,
                "the changelog's mark of shard",
                shard,
                "is at",
                end,
                "without",
                stripe,
                "of",
                last,
            )

    def _stripe_row(self, shard, stripe, value, where):
        row = self._rows.decode(value)
        self._totals(shard, stripe, tuple(row.live), where)
        self._totals(shard, stripe, tuple(row.posted), where)
        end = self.chains[shard][-1][1]
        self._check(
            row.live.offset < end, where, shard, stripe, row, "is beyond the decisions", end
        )
        self._check(
            row.posted.offset < self.posted_end[shard] or row.posted.offset < 0,
            where,
            shard,
            stripe,
            row,
            "is not posted yet",
        )
        self._check(not row.broken, "a break on", stripe)
        return row

    def _progress(self, record):
        row, shard = self._row_of_chain("Progress", record)
        self._check(
            row["end"] <= self.posted_end[shard],
            f"shard {shard} is called compared to {row['end']} and is posted to {self.posted_end[shard]}",
        )
        self._check(not row["open_breaks"], "open breaks", row)
        self.compared[shard] = max(row["end"], self.compared[shard])
        self.last_progress[shard] = row["end"]

    def _reject(self, record):
        row = self._row("Reject", record)
        wanted = self.shards[row["shard"]].expected.get(row["offset"])
        self._check(row["code"] == wanted, "rejected", row, "expected", wanted)
        original = self._world.partition(self._world.names.transactions.name, row["shard"]).between(
            row["offset"], row["offset"] + 1
        )
        self._check(
            [row["value"]] == [each.value for each in original], "a reject's original bytes", row
        )
        self.rejects.add((row["shard"], row["offset"]))

    def _break(self, record):
        self._check(False, "a break:", self._row("Break", record))

    def _balance(self, record):
        row = self._row("Balance", record)
        key = row["account"], row["currency"]
        minor = *(int(row[each].replace(".", "")) for each in ("debits", "credits")), row["entries"]
        self._check(minor in self._sums(key), "a balance that never was reconciled", row)
        self._check(row["status"] != "break", "a break in", row)
        self.last[key] = row
        self.published[record.partition].append((record.offset, key, minor, row["version"]))
        newest = self.balances.get(key)
        if newest is None or row["version"] >= newest["version"]:
            self.balances[key] = row

    def _coverage(self, record):
        """Each account of the partition counts what its shards have before the positions."""
        row, names = self._row("Coverage", record), self._world.names
        if row["topic"] != self._world.made_again.get(names.balances.name, names.balances.name):
            # Readers ignore what is about a topic that is gone.
            return
        end = self._world.partition(names.balances.name, row["partition"]).end
        self._check(row["offset"] <= end, "coverage of balances that are not there", row)
        found = {}
        for offset, key, totals, version in self.published[row["partition"]]:
            if offset < row["offset"] and version >= found.get(key, ((), -1))[1]:
                found[key] = totals, version
        count = self._world.settings.balance_partitions
        for key in {key for shard in self.shards for key in shard.history}:
            if partition_of(key[0].encode(), count) != row["partition"]:
                continue
            sums = self._sums(key, row["ends"])
            totals = found.get(key, ((0, 0, 0), 0))[0]
            self._check(totals in sums, f"{key} is {totals} and not in {sums}:", row)
        for shard, end in enumerate(row["ends"]):
            self._check(end <= self.compared[shard], f"coverage of shard {shard} is ahead:", row)
        self.covered[row["partition"]] = row["ends"]

    def _sums(self, key, ends=None):
        """Every sum over shards of totals that are posted; from the positions `ends` on."""
        sums = {(0, 0, 0)}
        for number, shard in enumerate(self.shards):
            history = [(0, 0, 0, -1)] + [
                each for each in shard.history.get(key, ()) if each[3] < self.posted_end[number]
            ]
            last = (
                max(at for at, each in enumerate(history) if each[3] < ends[number]) if ends else 0
            )
            history = history[last:]
            sums = {(a + x[0], b + x[1], c + x[2]) for a, b, c in sums for x in history}
        return sums

    def missing(self):
        """What is not reconciled yet, or None."""
        world, names = self._world, self._world.names
        for shard, model in enumerate(self.shards):
            end = model.end()
            _, decided, _, _ = self.chains[shard][-1]
            if decided < end:
                return f"shard {shard} is decided to {decided} of {end}"
            posted = world.journal._shards[shard].watermark
            if posted.decisions_offset < self.chains[shard][-1][0]:
                return f"shard {shard} is posted to {posted.end} of {end}"
            if self.compared[shard] < end:
                return f"shard {shard} is compared to {self.compared[shard]} of {end}"
            if self.known[shard] < max(self.digests):
                return f"shard {shard} knows the reference data to {self.known[shard]}"
            for partition in range(world.settings.balance_partitions):
                ends = self.covered.get(partition)
                if ends is None or ends[shard] < end:
                    return f"partition {partition} covers {ends} of shard {shard} to {end}"
            refused = {offset for offset, each in model.expected.items() if each.isupper()}
            if lost := {(shard, offset) for offset in refused} - self.rejects:
                return f"{names.rejects.name} has not {lost}"
        for key in {key for model in self.shards for key in model.history}:
            last = [model.history[key][-1] for model in self.shards if key in model.history]
            debits, credits, entries = (sum(each[index] for each in last) for index in range(3))
            offsets = sum(each[3] + 1 for each in last)
            if self.last.get(key) != self.balances.get(key):
                return f"the balance of {key} that came last is {self.last.get(key)}"
            said = self.balances.get(key)
            scale = self._known_at(1 << 60).scales[key[1]]
            wanted = (
                decimal(debits, scale),
                decimal(credits, scale),
                entries,
                "reconciled",
                2 * offsets,
            )
            found = said and tuple(
                said[each] for each in ("debits", "credits", "entries", "status", "version")
            )
            if found != wanted:
                return f"the balance of {key} is {found} instead of {wanted}"
        return None

    def show(self, where, offset):
        """A landed record, in a line."""
        batch, names = where.between(offset, where.end), self._world.names
        # The first by name: the order in a batch may depend on hashes, and means nothing.
        record = min(batch, key=lambda each: (each.key or b"", each.offset))
        more = f" and {len(batch) - 1} more" if len(batch) > 1 else ""
        for topic, name in (
            (names.decisions, "Decision"),
            (names.posted, "Posted"),
            (names.progress, "Progress"),
            (names.balances, "Balance"),
            (names.rejects, "Reject"),
        ):
            if where.topic == topic.name:
                row = self._row(name, record)
                wanted = (
                    "start",
                    "after",
                    "end",
                    "decisions_offset",
                    "account",
                    "currency",
                    "debits",
                    "status",
                    "version",
                    "offset",
                    "code",
                )
                return ", ".join(f"{each} {row[each]}" for each in wanted if each in row) + more
        return f"{(record.key or b'').decode()}{more}"
