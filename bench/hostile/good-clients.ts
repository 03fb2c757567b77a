import { setTimeout as delay } from 'node:timers/promises';
import { type Client, createClient, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { Health } from '#gen/grpc/health/v1/health_pb.js';

/** What clients got that do nothing wrong. */
export interface GoodClients {
  readonly calls: number;
  readonly failed: number;
  /** Milliseconds from the time that a call was due. */
  readonly p99Ms: number;
}

/** Clients that keep their connections from one measurement to the next, as real ones do. */
export function goodClients(url: string): readonly GoodClient[] {
  const transports: readonly Transport[] = [
    createConnectTransport({ baseUrl: url, httpVersion: '1.1' }),
    createGrpcTransport({ baseUrl: url }),
  ];
  return transports.map(transport => createClient(Health, transport));
}

export type GoodClient = Client<typeof Health>;

/**
 * Calls at a constant rate, whatever the answers take, in turns over Connect on HTTP/1.1 and over gRPC.
 *
 * @param until aborted when the last call is to be due.
 */
export async function callAtConstantRate(clients: readonly GoodClient[], until: AbortSignal): Promise<GoodClients> {
  const latencies: number[] = [];
  let failed = 0;
  const pending: Promise<void>[] = [];
  const begin = performance.now();
  for (let call = 0; !until.aborted; call++) {
    const due = begin + call * EVERY_MS;
    await delay(Math.max(0, due - performance.now()));
    const one = async () => {
      try {
        await clients[call % clients.length]?.check({}, { timeoutMs: 5000 });
      } catch {
        failed++;
      }
      latencies.push(performance.now() - due);
    };
    pending.push(one());
  }
  await Promise.all(pending);
  latencies.sort((a, b) => a - b);
  return { calls: pending.length, failed, p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN };
}

/** 200 a second. */
const EVERY_MS = 5;
