import { Code, type HandlerContext, type ServiceImpl } from '@connectrpc/connect';
import {
  type Health,
  type HealthCheckRequest,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '#gen/grpc/health/v1/health_pb.js';
import { rpcError } from '#src/rpc/error-details.ts';

/**
 * grpc.health.v1: whether the server as a whole (the empty name), and each of its services, accepts calls.
 *
 * Protocol: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 */
export class HealthService implements ServiceImpl<typeof Health> {
  readonly #names: ReadonlySet<string>;
  readonly #watchers = new Set<() => void>();
  #isStopped = false;
  #status: ServingStatus = ServingStatus.SERVING;

  /** @param services full names, such as `blog.v1.PostService`. */
  constructor(services: readonly string[]) {
    this.#names = new Set(['', ...services]);
  }

  /** Sets whether the server should get calls. Watchers are notified at once. */
  set(isServing: boolean): void {
    if (!this.#isStopped) this.#change(isServing ? ServingStatus.SERVING : ServingStatus.NOT_SERVING);
  }

  /** Reports that the server accepts no more calls. Watchers are notified at once, and their calls end. */
  stop(): void {
    this.#isStopped = true;
    this.#change(ServingStatus.NOT_SERVING);
    for (const tell of this.#watchers) tell();
  }

  check({ service }: HealthCheckRequest) {
    if (!this.#names.has(service)) {
      const metadata = { service };
      throw rpcError(Code.NotFound, 'no such service', { reason: 'SERVICE_NOT_FOUND', metadata });
    }
    return { status: this.#status };
  }

  /** Streams the status, now and at each change, until the server stops or the client ends the call. */
  async *watch({ service }: HealthCheckRequest, { signal }: HandlerContext): AsyncGenerator<HealthUpdate> {
    const status = () => (this.#names.has(service) ? this.#status : ServingStatus.SERVICE_UNKNOWN);
    let told: ServingStatus | undefined;
    while (!signal.aborted) {
      if (status() !== told) {
        told = status();
        yield { status: told };
      } else if (this.#isStopped) return;
      else await this.#nextChange(signal);
    }
  }

  list() {
    return { statuses: Object.fromEntries([...this.#names].map(name => [name, { status: this.#status }])) };
  }

  #change(status: ServingStatus): void {
    if (status === this.#status) return;
    this.#status = status;
    for (const tell of this.#watchers) tell();
  }

  /** Resolves at the next change, or when the signal aborts. */
  #nextChange(signal: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      const end = () => {
        this.#watchers.delete(end);
        signal.removeEventListener('abort', end);
        resolve();
      };
      this.#watchers.add(end);
      signal.addEventListener('abort', end, { once: true });
      if (signal.aborted) end();
    });
  }
}

type HealthUpdate = Pick<HealthCheckResponse, 'status'>;
