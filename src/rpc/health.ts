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
  readonly #stopped = Promise.withResolvers<void>();

  /** @param services full names, such as `blog.v1.PostService`. */
  constructor(services: readonly string[]) {
    this.#names = new Set(['', ...services]);
  }

  /** Whether the server takes calls. */
  get isServing(): boolean {
    return this.#status === ServingStatus.SERVING;
  }

  /** Says that the server takes no more calls. Watchers hear of it at once, and their calls end. */
  stop(): void {
    this.#status = ServingStatus.NOT_SERVING;
    this.#stopped.resolve();
  }

  check({ service }: HealthCheckRequest) {
    if (!this.#names.has(service)) {
      const metadata = { service };
      throw rpcError(Code.NotFound, 'no such service', { reason: 'SERVICE_NOT_FOUND', metadata });
    }
    return { status: this.#status };
  }

  /** The status now, and when the server stops; until then, or until the client ends the call. */
  async *watch({ service }: HealthCheckRequest, { signal }: HandlerContext): AsyncGenerator<HealthUpdate> {
    const status = () => ({ status: this.#names.has(service) ? this.#status : ServingStatus.SERVICE_UNKNOWN });
    yield status();
    if (!this.isServing) return;
    await Promise.race([this.#stopped.promise, aborted(signal)]);
    if (!signal.aborted) yield status();
  }

  list() {
    return { statuses: Object.fromEntries([...this.#names].map(name => [name, { status: this.#status }])) };
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    signal.addEventListener('abort', () => resolve(), { once: true });
    if (signal.aborted) resolve();
  });
}

type HealthUpdate = Pick<HealthCheckResponse, 'status'>;
