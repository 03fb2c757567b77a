import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import { Http2SessionManager } from '@connectrpc/connect-node';

/**
 * A session manager under which a late connection error can't end the process.
 *
 * connect-node 2.2 destroys an idle connection that receives a GOAWAY, and takes its error listeners off when the next
 * call opens a new one. Node emits the error only when the socket has closed, where nobody listens by then
 * (https://github.com/connectrpc/connect-es/issues/1768, open). The listener set here stays for the connection's life;
 * calls still see every error of their connection through their own stream.
 */
export class GuardedHttp2SessionManager extends Http2SessionManager {
  readonly #guarded = new WeakSet<ClientHttp2Session>();

  override async request(...call: Parameters<Http2SessionManager['request']>): Promise<ClientHttp2Stream> {
    const stream = await super.request(...call);
    const session = stream.session as ClientHttp2Session | undefined;
    if (session && !this.#guarded.has(session)) {
      this.#guarded.add(session);
      session.on('error', () => {});
    }
    return stream;
  }
}
