import { readSync, writeSync } from 'node:fs';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type ServerCompatRequest,
  ServerCompatRequestSchema,
  type ServerCompatResponse,
  ServerCompatResponseSchema,
} from './gen/connectrpc/conformance/v1/server_compat_pb.js';

/**
 * Reads from standard input which server the runner wants. Each message between the two is preceded by its length, four
 * bytes with the highest first.
 *
 * @throws where the input ends before the message does.
 */
export function readRequest(): ServerCompatRequest {
  const length = readBytes(LENGTH_BYTES).readUInt32BE();
  return fromBinary(ServerCompatRequestSchema, readBytes(length));
}

/** Tells the runner, on standard output, where the server is. */
export function writeResponse(response: ServerCompatResponse): void {
  const bytes = toBinary(ServerCompatResponseSchema, response);
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(bytes.byteLength);
  writeSync(STDOUT, Buffer.concat([length, bytes]));
}

const [STDIN, STDOUT] = [0, 1];
const LENGTH_BYTES = 4;

/** Blocks: there is nothing else to do until the request is there. */
function readBytes(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let read = 0; read < length; ) {
    const more = readSync(STDIN, bytes, read, length - read, null);
    if (more === 0) throw new Error(`standard input ended after ${read} of ${length} bytes of a message`);
    read += more;
  }
  return bytes;
}
