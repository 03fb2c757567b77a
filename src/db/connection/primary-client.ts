import type pg from 'pg';
import type { DatabasePlace, PrimaryHost } from '#src/db/connection/primary-host.ts';
import { saysReadOnly } from '#src/db/connection/server-role.ts';
import { SessionClient } from '#src/db/connection/session-client.ts';

/**
 * A client of pg that connects to the present primary, and is cut when the primary moves. It reports to the host when its server cannot be
 * reached, is lost, or takes no writes.
 *
 * `connect` also asks the server for its role, if the host wants that.
 */
export class PrimaryClient extends SessionClient {
  readonly #host: PrimaryHost;
  readonly #place: DatabasePlace | undefined;
  readonly #connectTimeoutMs: number;
  #isEnding = false;

  /** Never throws. If no primary is known, `connect` throws. */
  constructor(host: PrimaryHost, config: pg.ClientConfig) {
    const { place } = host;
    super(place === undefined ? config : { ...config, connectionString: withConnectionCheck(place.url) });
    this.#host = host;
    this.#place = place;
    this.#connectTimeoutMs = config.connectionTimeoutMillis ?? CONNECT_TIMEOUT_MS;
    // Pending statements fail with it.
    this.on('error', () => {});
    if (place === undefined) return;
    const cut = () => this.cut();
    place.left.addEventListener('abort', cut, { once: true });
    this.connection.on('errorMessage', (error: unknown) => {
      if (saysReadOnly(error)) host.failed(place, error);
    });
    this.once('end', () => {
      place.left.removeEventListener('abort', cut);
      if (!this.#isEnding) host.failed(place, new Error('the connection was lost'));
    });
  }

  /** Ends the connection at once, without a word to Postgres. `end()` would wait for an opening connection, or for a frozen server. */
  cut(): void {
    this.connection.stream.destroy();
  }

  override async connect(): Promise<pg.Client> {
    const place = this.#place;
    if (place === undefined) {
      process.nextTick(() => this.emit('end'));
      throw this.#host.nowhere();
    }
    try {
      await super.connect();
      await this.#host.check(this, place, this.#connectTimeoutMs);
      return this;
    } catch (error) {
      this.cut();
      this.#host.failed(place, error);
      throw error;
    }
  }

  override end(): Promise<void> {
    this.#isEnding = true;
    return super.end();
  }
}

const CONNECT_TIMEOUT_MS = 5000;

/**
 * Has Postgres check, while a statement runs or waits for a lock, whether its client is still connected. By default it checks only when it
 * writes. Then the statement of a destroyed client, or of a killed service, would hold its locks until its time limit. Options in the URL
 * come later, and win.
 *
 * https://www.postgresql.org/docs/current/runtime-config-connection.html#GUC-CLIENT-CONNECTION-CHECK-INTERVAL
 */
export function withConnectionCheck(url: string): string {
  const parsed = new URL(url);
  const given = parsed.searchParams.get('options') ?? '';
  parsed.searchParams.set('options', `-c client_connection_check_interval=${CONNECTION_CHECK_MS} ${given}`.trimEnd());
  return parsed.href;
}

/** Each check is one system call. */
const CONNECTION_CHECK_MS = 100;
