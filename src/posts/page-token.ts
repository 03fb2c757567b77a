import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { InvalidArgumentError } from '#src/posts/invalid-argument-error.ts';
import type { PostCursor, PostFilter, PostOrder } from '#src/posts/post-store.ts';

/**
 * Makes and reads page tokens: places in a list, encrypted and authenticated (AES-256-GCM), in URL-safe base64.
 *
 * A token is bound to the filter and the order of its list, and is good on every instance that has the same secret.
 * It does not expire.
 */
export class PageTokens {
  readonly #key: Uint8Array;

  /** @param secret 32 characters or more, the same on every instance. */
  constructor(secret: string) {
    this.#key = new Uint8Array(hkdfSync('sha256', secret, '', 'postservice page token v1', 32));
  }

  /** The token for a place in the list with this filter and order. */
  seal(cursor: PostCursor, list: PostFilter & { readonly order: PostOrder }): string {
    const plain = Buffer.alloc(PLAIN_LENGTH);
    // Infinity stands for the publish time that a draft does not have.
    plain.writeDoubleBE(cursor.time?.getTime() ?? Number.POSITIVE_INFINITY);
    Buffer.from(cursor.id.replaceAll('-', ''), 'hex').copy(plain, 8);
    const nonce = randomBytes(NONCE_LENGTH);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(describe(list));
    return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]).toString('base64url');
  }

  /**
   * The place that a token stands for.
   *
   * @throws InvalidArgumentError where it was altered, or made for another list or with another secret.
   */
  open(token: string, list: PostFilter & { readonly order: PostOrder }): PostCursor {
    const sealed = Buffer.from(token, 'base64url');
    // Decoding is lenient, so that several texts would be good for one token: only the one that was given out is.
    if (sealed.length !== SEALED_LENGTH || sealed.toString('base64url') !== token) throw invalidToken();
    const decipher = createDecipheriv('aes-256-gcm', this.#key, sealed.subarray(0, NONCE_LENGTH), {
      authTagLength: TAG_LENGTH,
    })
      .setAAD(describe(list))
      .setAuthTag(sealed.subarray(-TAG_LENGTH));
    let plain: Buffer;
    try {
      plain = Buffer.concat([decipher.update(sealed.subarray(NONCE_LENGTH, -TAG_LENGTH)), decipher.final()]);
    } catch {
      throw invalidToken();
    }
    const time = plain.readDoubleBE();
    const id = plain.toString('hex', 8).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
    return { time: Number.isFinite(time) ? new Date(time) : undefined, id };
  }
}

/** All that makes one list another than the next, as bytes. */
function describe({ author, tag, state, showDeleted, order }: PostFilter & { readonly order: PostOrder }): Buffer {
  return Buffer.from(JSON.stringify([author, tag, state, showDeleted, order.by, order.descending]));
}

function invalidToken(): InvalidArgumentError {
  return new InvalidArgumentError('INVALID_PAGE_TOKEN', {
    field: 'page_token',
    description:
      'is no token of this list: send next_page_token unaltered, with the filter and order that it came from',
  });
}

const NONCE_LENGTH = 12;
const TAG_LENGTH = 16;
/** A time as a double, and a UUID. */
const PLAIN_LENGTH = 8 + 16;
const SEALED_LENGTH = NONCE_LENGTH + PLAIN_LENGTH + TAG_LENGTH;
