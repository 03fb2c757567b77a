import { once } from 'node:events';
import net from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ListeningConnection } from '#src/db/connection/listening-connection.ts';

/** As PgBouncer without a server: it accepts each connection, and answers no statement. */
let pooler: net.Server;
let connections: net.Socket[];

beforeEach(async () => {
  connections = [];
  pooler = net.createServer(socket => {
    connections.push(socket.on('error', () => {}));
    socket.once('data', () => {
      socket.write(READY);
      socket.once('data', () => pooler.emit('statement'));
    });
  });
  await once(pooler.listen(0, '127.0.0.1'), 'listening');
});

afterEach(async () => {
  for (const socket of connections) socket.destroy();
  pooler.close();
  await once(pooler, 'close');
});

describe('A listening connection whose pooler has no server', () => {
  it('ends at once, while it waits for that', async () => {
    const asked = once(pooler, 'statement');
    await using connection = listen({ timeoutMs: 3_600_000 });
    await asked;
    await connection[Symbol.asyncDispose]();
    expect(connections).toHaveLength(1);
  });

  it('is made anew where there is no answer in time', async () => {
    await using _connection = listen({ timeoutMs: 50 });
    for (let n = 0; n < 2; n++) await once(pooler, 'statement');
    expect(connections.length).toBeGreaterThan(1);
  });
});

function listen({ timeoutMs }: { readonly timeoutMs: number }): ListeningConnection {
  const { port } = pooler.address() as net.AddressInfo;
  return new ListeningConnection(`postgres://nobody@127.0.0.1:${port}/none`, {
    channel: 'changes',
    timeoutMs,
    preparesStatements: false,
    onConnect: () => {},
    onNotify: () => {},
    onLost: () => {},
  });
}

/** AuthenticationOk, and ReadyForQuery in no transaction. */
const READY = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5a, 0, 0, 0, 5, 0x49]);
