/**
 * Has a server send GOAWAY on an idle connection, and opens the next connection before the socket of the first has
 * closed. Prints `alive` where the process outlives it. Its argument names the session manager: `guarded` or `bare`.
 */

import { once } from 'node:events';
import { createServer, type ServerHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { Http2SessionManager } from '@connectrpc/connect-node';
import { GuardedHttp2SessionManager } from '#client/http2-session-manager.ts';

const server = createServer((_, response) => void response.end());
const accepted = once(server, 'session') as Promise<[ServerHttp2Session]>;
server.listen(0, '127.0.0.1');
await once(server, 'listening');

const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const manager = process.argv[2] === 'guarded' ? new GuardedHttp2SessionManager(url) : new Http2SessionManager(url);

const stream = await manager.request('GET', '/', {}, {});
const { session } = stream;
stream.end().resume();
await once(stream, 'close');

// Not events.once: it would listen for the very error that this is about.
const goaway = Promise.withResolvers<void>();
const closed = Promise.withResolvers<void>();
session?.on('goaway', () => goaway.resolve());
session?.on('close', () => closed.resolve());
const [serverSession] = await accepted;
serverSession.goaway();
await goaway.promise;
await manager.connect();
await closed.promise;

console.log('alive');
manager.abort();
server.close();
