// Print the balances of some accounts, or of all, and then every change: ACCOUNT...
//
//	go run ./balances liabilities:deposits:2378
//
// Prints account, currency, posted, pending and status: `reconciled` once the general ledger
// agrees.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ledger.example/clients/connection"
)

const topic = "ledger.balances"

var decode, accounts = connection.Decoder(), os.Args[1:]

func show(b map[string]any) {
	if account := b["account"].(string); len(accounts) == 0 || slices.Contains(accounts, account) {
		fmt.Println(account, b["currency"], b["posted"], b["pending"], b["status"])
	}
}

func main() {
	ctx := context.Background()
	// Without a group: every process reads everything, from the beginning.
	client := connection.Kafka(kgo.ConsumeTopics(topic))
	behind := map[int32]int64{} // the ends of the partitions that are not read up to there yet
	ends := connection.Must(kadm.NewClient(client).ListEndOffsets(ctx, topic))
	connection.Must(ends, ends.Error()).Each(func(end kadm.ListedOffset) {
		if end.Offset > 0 {
			behind[end.Partition] = end.Offset
		}
	})
	balances := map[string]map[string]any{}
	for {
		reading := len(behind) > 0
		poll, cancel := context.WithTimeout(ctx, 5*time.Second)
		fetches := client.PollFetches(poll)
		if poll.Err() != nil {
			// Compaction may have removed a partition's last record: then nothing more comes.
			clear(behind)
		} else {
			connection.Must(fetches, fetches.Err())
		}
		cancel()
		fetches.EachRecord(func(record *kgo.Record) {
			if record.Offset+1 >= behind[record.Partition] {
				delete(behind, record.Partition)
			}
			key := string(record.Key)
			if record.Value == nil {
				delete(balances, key) // withdrawn, whatever its version: take what follows
				return
			}
			balance, known := decode(record.Value), balances[key]
			if known != nil && balance["version"].(int64) < known["version"].(int64) {
				return // an older one, which came late
			}
			balances[key] = balance
			if !reading {
				show(balance)
			}
		})
		if reading && len(behind) == 0 {
			for _, each := range balances {
				show(each)
			}
		}
	}
}
