// Package connection has where Kafka and the registry are, and who connects: from the
// environment, plain or secure.
//
// FAUST_LEDGER_BOOTSTRAP_SERVERS and FAUST_LEDGER_REGISTRY_URL; on a secure ledger also
// FAUST_LEDGER_CA_FILE, FAUST_LEDGER_KAFKA_USER and FAUST_LEDGER_KAFKA_PASSWORD_FILE.
package connection

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log"
	"os"
	"strings"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/pkg/sr"
)

var user = os.Getenv("FAUST_LEDGER_KAFKA_USER")

// Kafka is a client with the given options.
func Kafka(options ...kgo.Opt) *kgo.Client {
	servers := strings.Split(os.Getenv("FAUST_LEDGER_BOOTSTRAP_SERVERS"), ",")
	// An outage is logged: the client itself tries again without a word.
	options = append(options, kgo.SeedBrokers(servers...),
		kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelWarn, nil)))
	if user != "" {
		scram512 := scram.Auth{User: user, Pass: password()}.AsSha512Mechanism()
		options = append(options, kgo.DialTLSConfig(authority()), kgo.SASL(scram512))
	}
	return Must(kgo.NewClient(options...))
}

// Registry is a client of the registry, which has the same users and passwords as Kafka.
func Registry() *sr.Client {
	options := []sr.ClientOpt{sr.URLs(os.Getenv("FAUST_LEDGER_REGISTRY_URL"))}
	if user != "" {
		options = append(options, sr.DialTLSConfig(authority()), sr.BasicAuth(user, password()))
	}
	return Must(sr.NewClient(options...))
}

// Decoder is a function that decodes a value by the schema that its first bytes name.
func Decoder() func(value []byte) map[string]any {
	registry, schemas := Registry(), map[int]*avro.Schema{}
	return func(value []byte) (row map[string]any) {
		id, body, err := new(sr.ConfluentHeader).DecodeID(value)
		if Must(id, err); schemas[id] == nil {
			found := Must(registry.SchemaByID(context.Background(), id))
			schemas[id] = avro.MustParse(found.Schema)
		}
		Must(schemas[id].Decode(body, &row))
		return row
	}
}

func authority() *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(Must(os.ReadFile(os.Getenv("FAUST_LEDGER_CA_FILE"))))
	return &tls.Config{RootCAs: pool}
}

func password() string {
	return strings.TrimSpace(string(Must(os.ReadFile(os.Getenv("FAUST_LEDGER_KAFKA_PASSWORD_FILE")))))
}

// Must is the value, or the end of the program where there is an error.
func Must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
