import { connect, type Socket } from 'node:net';

/** Sends bytes to a port of this machine as they are, and returns everything that comes back until the server closes. */
export async function sendRaw(port: number, bytes: string | Buffer): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(bytes, 'latin1');
  return readToEnd(socket);
}

/** What comes until the connection closes, or is reset. */
export async function readToEnd(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('latin1');
  socket.on('data', chunk => {
    text += chunk;
  });
  socket.on('error', () => {});
  await new Promise(resolve => socket.on('close', resolve));
  return text;
}

/** The status of an HTTP/1.1 response; undefined where there is none. */
export function statusOf(response: string): number | undefined {
  const match = /^HTTP\/1\.1 (\d{3}) /.exec(response);
  return match ? Number(match[1]) : undefined;
}

/** An RPC that every service of ours answers, as HTTP/1.1. `head` has the lines after the first, Host among them. */
export function healthCheck(head: string): string {
  return `POST /grpc.health.v1.Health/Check HTTP/1.1\r\n${head}Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`;
}
