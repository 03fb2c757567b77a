import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What a client in Go sent, as test/fixtures/README.md says it was recorded. */
export interface GoClient {
  /** Such as `connect-go, HTTP/1.1, GET`. */
  readonly name: string;
  /** The reads first: GetPost, BatchGetPosts, ListPosts twice; then the writes. */
  readonly requests: readonly GoRequest[];
}

export interface GoRequest {
  /** Of HTTP/1.1: all before the content. */
  readonly head?: string;
  /** Of HTTP/2: the header fields in their order. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** In base64; unset: there is none. */
  readonly content?: string;
}

/** Reads the recording. */
export function readGoClients(): readonly GoClient[] {
  const file = join(import.meta.dirname, '..', 'fixtures', 'go-clients', 'recorded.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { clients: GoClient[] }).clients;
}
