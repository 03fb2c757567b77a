import { randomUUID } from 'node:crypto';
import type { RequestHead } from '#src/wire/request-head.ts';

/** Assigns request ids. */
export class RequestIds {
  #base = '';
  #count = BLOCK_SIZE;

  /**
   * The client's `x-request-id` if it has 1 to 128 characters of [A-Za-z0-9._:-], or else a new UUID. Either is safe in a log line or a
   * header.
   */
  of({ requestId, repeated }: Pick<RequestHead, 'requestId' | 'repeated'>): string {
    if (requestId === undefined || !/^[A-Za-z0-9._:-]{1,128}$/.test(requestId)) return this.next();
    return repeated.includes('requestId') ? this.next() : requestId;
  }

  /**
   * A new UUID. Only one of 65,536 is random, and the others count up in its last four digits: a random UUID costs as much as all other
   * work on a request's head.
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
