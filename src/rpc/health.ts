import { Code, type HandlerContext, type ServiceImpl } from '@connectrpc/connect';
import {
  type Health,
  type HealthCheckRequest,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '#gen/grpc/health/v1/health_pb.js';
import { rpcError } from '#src/rpc/error-details.ts';

/**
 * grpc.health.v1: whether the server as a whole (the empty name) and each of its services takes calls.
 *
 * Protocol: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 */
export class HealthService implements ServiceImpl<typeof Health> {
  readonly #names: ReadonlySet<string>;
  #status: ServingStatus = ServingStatus.SERVING;
  #changed = Promise.withResolvers<void>();

  /** @param services full names, such as `blog.v1.PostService`. */
  constructor(services: readonly string[]) {
    this.#names = new Set(['', ...services]);
  }

  /** Says that the server takes calls, or no more: watchers hear of it at once. */
  setServing(serving: boolean): void {
    const status = serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
    if (status === this.#status) return;
    this.#status = status;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  check({ service }: HealthCheckRequest) {
    if (!this.#names.has(service)) {
      const metadata = { service };
      throw rpcError(Code.NotFound, 'no such service', { reason: 'SERVICE_NOT_FOUND', metadata });
    }
    return { status: this.#status };
  }

  /** The status now, and each time that it changes, until the client or the server ends the call. */
  async *watch({ service }: HealthCheckRequest, { signal }: HandlerContext): AsyncGenerator<HealthUpdate> {
    const aborted = new Promise<void>(resolve => {
      signal.addEventListener('abort', () => resolve(), { once: true });
      if (signal.aborted) resolve();
    });
    while (!signal.aborted) {
      const changed = this.#changed.promise;
      yield { status: this.#names.has(service) ? this.#status : ServingStatus.SERVICE_UNKNOWN };
      await Promise.race([changed, aborted]);
    }
  }

  list() {
    return { statuses: Object.fromEntries([...this.#names].map(name => [name, { status: this.#status }])) };
  }
}

type HealthUpdate = Pick<HealthCheckResponse, 'status'>;
