import { randomUUID } from 'node:crypto';
import type { RequestHead } from '#src/wire/request-head.ts';

/** Gives each request its id. */
export class RequestIds {
  #base = '';
  #count = BLOCK_SIZE;

  /**
   * The request's id: the client's own, where there is one, of 1 to 128 characters of [A-Za-z0-9._:-], and else a new UUID. So it can
   * stand in a log line or a header as it is.
   */
  of({ requestId, repeated }: Pick<RequestHead, 'requestId' | 'repeated'>): string {
    if (requestId === undefined || !/^[A-Za-z0-9._:-]{1,128}$/.test(requestId)) return this.next();
    return repeated.includes('requestId') ? this.next() : requestId;
  }

  /**
   * A new UUID. Of 65,536 only the first is drawn, and the others count on in its last four digits: drawing each takes as long as
   * all else that is done with a request's head.
   */
  next(): string {
    if (this.#count === BLOCK_SIZE) {
      this.#base = randomUUID().slice(0, -4);
      this.#count = 0;
    }
    const count = this.#count++;
    return this.#base + HEX[count >> 8] + HEX[count & 0xff];
  }
}

const BLOCK_SIZE = 65_536;
const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
