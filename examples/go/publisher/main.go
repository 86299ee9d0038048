// Publish deposits, one a line of standard input: ID TIME ACCOUNT AMOUNT CURRENCY [ORDERING_KEY].
//
//	echo "dep-1 $(date -u +%FT%TZ) liabilities:deposits:2378 12.34 CAD" | go run ./publisher
//
// Prints the id, the shard and the offset of each. Run again with the same lines, it changes
// nothing.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"

	"ledger.example/clients/connection"
)

const topic, attempts = "ledger.transactions", 5

type record = map[string]any

// deposit is a transaction of two entries, with the key of its record. Its id and its times are
// those of the event, never new ones.
func deposit(line string) (key string, transaction record) {
	field := append(strings.Fields(line), "")
	at := connection.Must(time.Parse(time.RFC3339, field[1]))
	leg := func(account, side string) record {
		// The amount is text from end to end: no float.
		return record{"account": account, "side": side, "amount": field[3], "currency": field[4]}
	}
	transaction = record{
		"transaction_id": field[0], "kind": "deposit", "effective_at": at, "created_at": at,
		"entries": []record{leg("assets:cash:settlement", "debit"), leg(field[2], "credit")},
	}
	if field[5] == "" {
		return field[0], transaction
	}
	transaction["ordering_key"] = field[5]
	return field[5], transaction
}

func main() {
	ctx := context.Background()
	latest := connection.Must(connection.Registry().SchemaByVersion(ctx, topic+"-value", -1))
	schema := avro.MustParse(latest.Schema.Schema)
	header := connection.Must(new(sr.ConfluentHeader).AppendEncode(nil, latest.ID, nil))
	// franz-go is idempotent by itself; a nil hasher is Java's murmur2.
	client := connection.Kafka(kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.RecordDeliveryTimeout(time.Minute)) // else it waits without end
	defer client.Close()

	var waiting []*kgo.Record
	ids := map[*kgo.Record]any{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		key, transaction := deposit(lines.Text())
		value := connection.Must(schema.AppendEncode(slices.Clone(header), transaction))
		each := &kgo.Record{Topic: topic, Key: []byte(key), Value: value}
		waiting, ids[each] = append(waiting, each), transaction["transaction_id"]
	}
	connection.Must(lines, lines.Err()) // it stops at a line that is too long
	for range attempts {
		var unknown []*kgo.Record
		// Waits until every record has its report. What has an error is published again under the
		// same id: what had arrived counts once.
		for _, sent := range client.ProduceSync(ctx, waiting...) {
			if sent.Err != nil {
				log.Print(ids[sent.Record], ": ", sent.Err)
				unknown = append(unknown, sent.Record)
				continue
			}
			fmt.Println(ids[sent.Record], sent.Record.Partition, sent.Record.Offset)
		}
		waiting = unknown
	}
	if len(waiting) > 0 {
		log.Fatal("Not known whether all arrived: run it again with the same lines.")
	}
}
