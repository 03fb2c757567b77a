import { InvalidArgumentError } from '#src/posts/invalid-argument-error.ts';
import type { PostCursor, PostFilter, PostOrder } from '#src/posts/post-store.ts';
import { TokenSealer } from '#src/posts/tokens/sealed-token.ts';

/**
 * Makes and reads page tokens: places in a list.
 *
 * A token is bound to the filter and order of its list, and valid on every instance with the same secret.
 * It does not expire.
 */
export class PageTokens {
  readonly #sealer: TokenSealer;

  /** @param secret 32 characters or more, the same on every instance. */
  constructor(secret: string) {
    this.#sealer = new TokenSealer(secret, 'postservice page token v1');
  }

  /** The token for a place in the list with this filter and order. */
  seal(cursor: PostCursor, list: PostFilter & { readonly order: PostOrder }): string {
    const plain = Buffer.alloc(PLAIN_LENGTH);
    // Infinity stands for a draft's missing publish time.
    plain.writeDoubleBE(cursor.time?.getTime() ?? Number.POSITIVE_INFINITY);
    Buffer.from(cursor.id.replaceAll('-', ''), 'hex').copy(plain, 8);
    return this.#sealer.seal(plain, describe(list));
  }

  /**
   * The place that a token stands for.
   *
   * @throws InvalidArgumentError if it was altered, or made for another list or with another secret.
   */
  open(token: string, list: PostFilter & { readonly order: PostOrder }): PostCursor {
    const plain = this.#sealer.open(token, describe(list));
    if (plain?.length !== PLAIN_LENGTH) throw invalidToken();
    const time = plain.readDoubleBE();
    const id = plain.toString('hex', 8).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
    return { time: Number.isFinite(time) ? new Date(time) : undefined, id };
  }
}

/** What identifies a list, as bytes. */
function describe({ author, tag, state, showDeleted, order }: PostFilter & { readonly order: PostOrder }): Buffer {
  return Buffer.from(JSON.stringify([author, tag, state, showDeleted, order.by, order.descending]));
}

function invalidToken(): InvalidArgumentError {
  return new InvalidArgumentError('INVALID_PAGE_TOKEN', {
    field: 'page_token',
    description: 'must be a token of this list: send next_page_token unaltered, with the same filter and order',
  });
}

/** A time as a double, and a UUID. */
const PLAIN_LENGTH = 8 + 16;
