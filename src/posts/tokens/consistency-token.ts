import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { InvalidArgumentError } from '#src/posts/invalid-argument-error.ts';

/**
 * Makes and reads consistency tokens: each write returns one, and a read that sends it sees that write, on any instance.
 *
 * A token has the id of the write's transaction (48 bits) and the timeline of its server (16 bits), in URL-safe base64. It
 * is authenticated (HMAC-SHA-256, cut to 64 bits). Otherwise anyone could name a future transaction, which no cache could
 * answer.
 */
export class ConsistencyTokens {
  readonly #key: Uint8Array;

  /** @param secret 32 characters or more, the same on every instance. */
  constructor(secret: string) {
    this.#key = new Uint8Array(hkdfSync('sha256', secret, '', 'postservice consistency token v1', 32));
  }

  /** @param timeline of the server that committed the write; 0: unknown. */
  seal(xid: bigint, timeline: number): string {
    const id = Buffer.alloc(ID_LENGTH);
    id.writeUInt16BE(timeline > TIMELINE_MAX ? 0 : timeline);
    id.writeUIntBE(Number(BigInt.asUintN(XID_BITS, xid)), TIMELINE_LENGTH, ID_LENGTH - TIMELINE_LENGTH);
    return Buffer.concat([id, this.#sign(id)]).toString('base64url');
  }

  /**
   * @param text one token, or several separated by commas, from concurrent writes.
   * @throws InvalidArgumentError if one was altered or made with another secret, or if there are more than ten.
   */
  open(text: string): NamedWrite[] {
    const tokens = text.split(',').map(token => token.trim());
    if (tokens.length > TOKENS_MAX)
      throw invalid(`must have at most ${TOKENS_MAX} tokens: send only the last one of each writer`);
    return tokens.map(token => {
      const bytes = Buffer.from(token, 'base64url');
      const id = bytes.subarray(0, ID_LENGTH);
      if (bytes.length !== ID_LENGTH + MAC_LENGTH || !timingSafeEqual(bytes.subarray(ID_LENGTH), this.#sign(id))) {
        throw invalid('must be a token of this service: send the one that a write returned, unaltered');
      }
      return {
        timeline: id.readUInt16BE(),
        xid: BigInt(id.readUIntBE(TIMELINE_LENGTH, ID_LENGTH - TIMELINE_LENGTH)),
      };
    });
  }

  #sign(id: Buffer): Buffer {
    return createHmac('sha256', this.#key).update(id).digest().subarray(0, MAC_LENGTH);
  }
}

/** What a token names. */
export interface NamedWrite {
  readonly xid: bigint;
  /** 0: unknown, or from the previous release. */
  readonly timeline: number;
}

/**
 * What a read must see of these writes, if the primary is on this timeline.
 *
 * Every read on this timeline includes what survived of older ones. An id says nothing on a later timeline: ask the primary.
 */
export function demandOf(writes: readonly NamedWrite[], timeline: number | undefined): ConsistencyDemand {
  const isHere = (write: NamedWrite) => write.timeline === 0 || write.timeline === timeline;
  const isPast = (write: NamedWrite) => timeline !== undefined && write.timeline < timeline;
  return {
    minTransactions: writes.filter(isHere).map(({ xid }) => xid),
    fresh: !writes.every(write => isHere(write) || isPast(write)),
  };
}

/** The timeline of the known primary. Each promotion of a standby begins a later one. */
export interface KnownTimeline {
  /** Undefined: unknown. */
  readonly timeline: number | undefined;
  /**
   * Whether a write of this timeline shows that another server may be the primary now, which is looked for then. False where it was
   * looked for since, and is the known one: that may have been restored from a dump, and the write be of before.
   */
  isSurpassedBy(timeline: number): boolean;
}

export interface ConsistencyDemand {
  readonly minTransactions: readonly bigint[];
  readonly fresh: boolean;
}

/** The field of requests and responses, in lower case. */
export const CONSISTENCY_TOKEN = 'x-consistency-token';

function invalid(description: string): InvalidArgumentError {
  return new InvalidArgumentError('INVALID_CONSISTENCY_TOKEN', { field: CONSISTENCY_TOKEN, description });
}

const ID_LENGTH = 8;
const TIMELINE_LENGTH = 2;
const TIMELINE_MAX = 0xff_ff;
const XID_BITS = 48;
const MAC_LENGTH = 8;
const TOKENS_MAX = 10;
