import { Http2Client } from './http2-client.ts';
import { CALLS_AT_ONCE, type Load } from './load.ts';
import type { Workload } from './workloads.ts';

/** A load over HTTP/2: a few connections, each with several calls at once. */
export class Http2Load implements Load {
  readonly #port: number;
  readonly #workload: Workload;
  #clients: readonly Http2Client[] = [];
  #answeredBefore = 0;

  constructor(port: number, workload: Workload) {
    this.#port = port;
    this.#workload = workload;
  }

  get answered(): number {
    return this.#clients.reduce((sum, client) => sum + client.answered, this.#answeredBefore);
  }

  async connect(): Promise<void> {
    this.#answeredBefore = this.answered;
    this.#clients = Array.from({ length: CONNECTIONS }, () => new Http2Client(this.#port, this.#workload));
    await Promise.all(this.#clients.map(client => client.open()));
  }

  start(): void {
    for (const client of this.#clients) client.start(CALLS_AT_ONCE / CONNECTIONS);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#clients.map(client => client.stop()));
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }
}

const CONNECTIONS = 4;
