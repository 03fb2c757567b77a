import type { HandlerContext } from '@connectrpc/connect';
import { DatabaseUnavailableError } from '#src/db/errors.ts';
import type { StoreCall } from '#src/posts/post-store.ts';
import {
  CONSISTENCY_TOKEN,
  type ConsistencyDemand,
  type ConsistencyTokens,
  demandOf,
  type KnownTimeline,
} from '#src/posts/tokens/consistency-token.ts';
import { CRITICALITY_FIELD, type Criticality, parseCriticality } from '#src/resilience/criticality.ts';

/**
 * Adapts a call's context for the store: its signal, demands and response headers. Everything is read on demand, because
 * most cache hits need none of it.
 */
export class PostCall implements StoreCall {
  readonly #context: CallContext;
  readonly #tokens: ConsistencyTokens;
  readonly #history: KnownTimeline;
  #demand: ConsistencyDemand | undefined;

  constructor(context: CallContext, tokens: ConsistencyTokens, history: KnownTimeline) {
    this.#context = context;
    this.#tokens = tokens;
    this.#history = history;
  }

  get signal(): AbortSignal {
    return this.#context.signal;
  }

  get deadline(): () => number | undefined {
    const { timeoutMs } = this.#context;
    let deadline: number | undefined;
    return () => {
      if (deadline !== undefined) return deadline;
      const leftMs = timeoutMs();
      if (leftMs !== undefined) deadline = performance.now() + leftMs;
      return deadline;
    };
  }

  /** @throws InvalidArgumentError for a bad consistency token; DatabaseUnavailableError if the primary has moved. */
  get minTransactions(): readonly bigint[] | undefined {
    return this.#demanded()?.minTransactions;
  }

  /** @throws what `minTransactions` does. */
  get fresh(): boolean {
    return this.#demanded()?.fresh === true;
  }

  get criticality(): Criticality {
    return parseCriticality(this.#field(CRITICALITY_FIELD));
  }

  committed(xid: bigint, timeline: number): void {
    this.#history.isSurpassedBy(timeline);
    this.#context.responseHeader.set(CONSISTENCY_TOKEN, this.#tokens.seal(xid, timeline));
  }

  /** Marks the response as stale: its age (RFC 9111, 5.1), its cache status (RFC 9211), and `no-store`. */
  servedStale(ageMs: number): void {
    const { responseHeader } = this.#context;
    responseHeader.set('age', String(Math.floor(ageMs / 1000)));
    responseHeader.set('cache-status', 'PostService; hit; detail=STALE_DATABASE_UNAVAILABLE');
    responseHeader.set('cache-control', 'no-store');
  }

  #demanded(): ConsistencyDemand | undefined {
    if (this.#demand !== undefined) return this.#demand;
    const text = this.#field(CONSISTENCY_TOKEN);
    if (text === undefined) return undefined;
    const writes = this.#tokens.open(text);
    if (writes.some(({ timeline }) => this.#history.isSurpassedBy(timeline)))
      throw new DatabaseUnavailableError(
        'a newer primary made the write, and the service is connecting to it: try again',
      );
    this.#demand = demandOf(writes, this.#history.timeline);
    return this.#demand;
  }

  #field(name: string): string | undefined {
    const context = this.#context;
    if (context.requestField !== undefined) return context.requestField(name);
    return context.requestHeader.get(name) ?? undefined;
  }
}

/** A handler's context. The fast path's returns one header without building an object of all. */
export type CallContext = HandlerContext & { readonly requestField?: (name: string) => string | undefined };
