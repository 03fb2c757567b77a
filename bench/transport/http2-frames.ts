/** Frames of HTTP/2 (RFC 9113), as far as a client needs them that sends the same request over and over. */
export const FRAME = {
  data: 0,
  headers: 1,
  resetStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
} as const;
/** END_STREAM, and the ACK of SETTINGS and PING, which has the same bit. */
export const FLAG_END_STREAM = 1;
export const FLAG_ACK = 1;
const FLAG_END_HEADERS = 4;
export const FRAME_HEAD_LENGTH = 9;
/** Where the number of the stream stands in a frame. */
export const STREAM_ID_AT = 5;

export function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(FRAME_HEAD_LENGTH + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(streamId, STREAM_ID_AT);
  bytes.set(payload, FRAME_HEAD_LENGTH);
  return bytes;
}

export function windowUpdate(increment: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(increment);
  return frame(FRAME.windowUpdate, 0, 0, payload);
}

/** What a client sends first: its windows are as large as can be, and nothing is pushed. */
export function preface(): Buffer {
  const settings = Buffer.alloc(12);
  settings.writeUInt16BE(SETTING_ENABLE_PUSH, 0);
  settings.writeUInt16BE(SETTING_INITIAL_WINDOW_SIZE, 6);
  settings.writeUInt32BE(WINDOW_MAX, 8);
  return Buffer.concat([
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    frame(FRAME.settings, 0, 0, settings),
    windowUpdate(WINDOW_MAX - WINDOW_DEFAULT),
  ]);
}

/**
 * A whole request, for any stream: its HEADERS and, where there is a body, its DATA.
 *
 * @returns where in the bytes the number of the stream has to be written.
 */
export function requestFrames(
  fields: Readonly<Record<string, string>>,
  body: Uint8Array | undefined,
): { readonly bytes: Buffer; readonly streamIdsAt: readonly number[] } {
  const block = Buffer.concat(Object.entries(fields).map(([name, value]) => literalField(name, value)));
  const end = body === undefined ? FLAG_END_STREAM : 0;
  const head = frame(FRAME.headers, FLAG_END_HEADERS | end, 0, block);
  if (body === undefined) return { bytes: head, streamIdsAt: [STREAM_ID_AT] };
  return {
    bytes: Buffer.concat([head, frame(FRAME.data, FLAG_END_STREAM, 0, body)]),
    streamIdsAt: [STREAM_ID_AT, head.length + STREAM_ID_AT],
  };
}

/** A literal field without indexing and with a new name (RFC 7541, 6.2.2): the same bytes in every request. */
function literalField(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), literalString(name), literalString(value)]);
}

function literalString(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  if (bytes.length >= 127 + 128) throw new Error(`too long for a header of this benchmark: ${text}`);
  return Buffer.concat([Buffer.from([127, bytes.length - 127]), bytes]);
}

const SETTING_ENABLE_PUSH = 2;
const SETTING_INITIAL_WINDOW_SIZE = 4;
export const WINDOW_DEFAULT = 65_535;
export const WINDOW_MAX = 2 ** 31 - 1;
