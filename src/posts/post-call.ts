import type { HandlerContext } from '@connectrpc/connect';
import { CONSISTENCY_TOKEN, type ConsistencyTokens } from '#src/posts/consistency-token.ts';
import type { StoreCall } from '#src/posts/post-store.ts';

/**
 * What a call's context is to the store: its signal, what it has to see, and the response's fields for what the store tells. All of
 * it is looked at when it is asked for, which most answers from the cache never do.
 */
export class PostCall implements StoreCall {
  readonly #context: CallContext;
  readonly #tokens: ConsistencyTokens;

  constructor(context: CallContext, tokens: ConsistencyTokens) {
    this.#context = context;
    this.#tokens = tokens;
  }

  get signal(): AbortSignal {
    return this.#context.signal;
  }

  /** @throws InvalidArgumentError for a bad consistency token. */
  get mustSee(): readonly bigint[] | undefined {
    const context = this.#context;
    const text =
      context.requestField === undefined
        ? context.requestHeader.get(CONSISTENCY_TOKEN)
        : context.requestField(CONSISTENCY_TOKEN);
    return text === null || text === undefined ? undefined : this.#tokens.open(text);
  }

  committed(xid: bigint): void {
    this.#context.responseHeader.set(CONSISTENCY_TOKEN, this.#tokens.seal(xid));
  }

  /** Marks the response: its age (RFC 9111, 5.1), that it comes from a cache beyond its time (RFC 9211), and not to be kept. */
  servedStale(ageMs: number): void {
    const { responseHeader } = this.#context;
    responseHeader.set('age', String(Math.floor(ageMs / 1000)));
    responseHeader.set('cache-status', 'PostService; hit; detail=STALE_DATABASE_UNAVAILABLE');
    responseHeader.set('cache-control', 'no-store');
  }
}

/** A handler's context; the fast path's gives a field without making an object of all of them. */
export type CallContext = HandlerContext & { readonly requestField?: (name: string) => string | undefined };
