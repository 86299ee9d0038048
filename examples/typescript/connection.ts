// Where Kafka and the registry are, and who connects: from the environment, plain or secure.
//
// FAUST_LEDGER_BOOTSTRAP_SERVERS and FAUST_LEDGER_REGISTRY_URL; on a secure ledger also
// FAUST_LEDGER_CA_FILE, FAUST_LEDGER_KAFKA_USER and FAUST_LEDGER_KAFKA_PASSWORD_FILE.

import { readFileSync } from "node:fs";
import { Agent } from "node:https";
import { SchemaRegistry } from "@kafkajs/confluent-schema-registry";
import { Kafka, logLevel } from "kafkajs";

const username = process.env.FAUST_LEDGER_KAFKA_USER;

export function kafka(): Kafka {
  const servers = {
    brokers: setting("BOOTSTRAP_SERVERS").split(","),
    logLevel: logLevel.ERROR,
  };
  if (username === undefined) return new Kafka(servers);
  const sasl = { mechanism: "scram-sha-512" as const, username, password: password() };
  return new Kafka({ ...servers, ssl: { ca: authority() }, sasl });
}

/** The registry has the same users and passwords as Kafka. */
export function registry(): SchemaRegistry {
  const address = { host: setting("REGISTRY_URL") };
  if (username === undefined) return new SchemaRegistry(address);
  const agent = new Agent({ ca: authority() });
  return new SchemaRegistry({ ...address, agent, auth: { username, password: password() } });
}

function setting(name: string): string {
  const value = process.env[`FAUST_LEDGER_${name}`];
  if (value === undefined) throw new Error(`Set FAUST_LEDGER_${name}`);
  return value;
}

function authority(): string {
  return readFileSync(setting("CA_FILE"), "utf8");
}

function password(): string {
  return readFileSync(setting("KAFKA_PASSWORD_FILE"), "utf8").trim();
}
