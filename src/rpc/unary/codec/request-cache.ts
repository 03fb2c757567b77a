import type { Message } from '@bufbuild/protobuf';
import { RecentMap } from '#src/rpc/unary/codec/recent-map.ts';

/** Parses a request's message from bytes, or from JSON text. */
export type ParseRequest = (request: Buffer | string, binary: boolean) => Message;

/**
 * Keeps the messages of small requests, because equal requests are equal bytes and come often, such as for a popular post. Parsing takes
 * several microseconds, and a look-up a tenth of that.
 *
 * Kept messages are frozen, because many calls share them.
 */
export function createRequestCache(parse: ParseRequest): ParseRequest {
  const recent = new RecentMap<Message>(GENERATION_MAX);

  return (request, binary) => {
    if (request.length > REQUEST_MAX_LENGTH) return parse(request, binary);
    const text = typeof request === 'string' ? request : request.toString('latin1');
    // A text may have characters other than Latin-1 for the same bytes.
    const key = `${binary ? 'b' : typeof request === 'string' ? 't' : 'j'}${text}`;
    let message = recent.get(key);
    if (message === undefined) {
      message = deepFreeze(parse(request, binary));
      recent.set(key, message);
    }
    return message;
  };
}

/** A larger request is not a look-up of a few names. */
const REQUEST_MAX_LENGTH = 256;
/** Both generations hold at most 2 MB for each RPC. */
const GENERATION_MAX = 1024;

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) {
    // The elements of a view can't be frozen.
    if (typeof inner === 'object' && inner !== null && !ArrayBuffer.isView(inner)) deepFreeze(inner);
  }
  return Object.freeze(value);
}
