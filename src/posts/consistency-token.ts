import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { InvalidArgumentError } from '#src/posts/invalid-argument-error.ts';

/**
 * Makes and reads consistency tokens: each write answers with one, and a read that carries it sees that write, on whichever instance.
 *
 * A token is the id of the write's transaction, authenticated (HMAC-SHA-256, cut to 64 bits), in URL-safe base64: without the secret
 * nobody can make one of a transaction that never comes, whose reads no cache could answer.
 */
export class ConsistencyTokens {
  readonly #key: Uint8Array;

  /** @param secret 32 characters or more, the same on every instance. */
  constructor(secret: string) {
    this.#key = new Uint8Array(hkdfSync('sha256', secret, '', 'postservice consistency token v1', 32));
  }

  seal(xid: bigint): string {
    const id = Buffer.alloc(ID_LENGTH);
    id.writeBigUInt64BE(xid);
    return Buffer.concat([id, this.#sign(id)]).toString('base64url');
  }

  /**
   * @param text one token, or several separated by commas: what a client got from writes that it made at the same time.
   * @throws InvalidArgumentError where one was altered, or made with another secret, or there are too many.
   */
  open(text: string): bigint[] {
    const tokens = text.split(',').map(token => token.trim());
    if (tokens.length > TOKENS_MAX)
      throw invalid(`has more than ${TOKENS_MAX} tokens: the last of each writer is enough`);
    return tokens.map(token => {
      const bytes = Buffer.from(token, 'base64url');
      const id = bytes.subarray(0, ID_LENGTH);
      if (bytes.length !== ID_LENGTH + MAC_LENGTH || !timingSafeEqual(bytes.subarray(ID_LENGTH), this.#sign(id))) {
        throw invalid('is no token of this service: send the one of a write unaltered');
      }
      return id.readBigUInt64BE();
    });
  }

  #sign(id: Buffer): Buffer {
    return createHmac('sha256', this.#key).update(id).digest().subarray(0, MAC_LENGTH);
  }
}

/** The field of requests and responses, in lower case. */
export const CONSISTENCY_TOKEN = 'x-consistency-token';

function invalid(description: string): InvalidArgumentError {
  return new InvalidArgumentError('INVALID_CONSISTENCY_TOKEN', { field: CONSISTENCY_TOKEN, description });
}

const ID_LENGTH = 8;
const MAC_LENGTH = 8;
const TOKENS_MAX = 10;
