import type { ConnectionCheck, ConnectionEnded } from '#src/http/guards/connection-sweeper.ts';
import { goAwayGracefully, HEAR_OF_END_WITHIN_MS } from '#src/http/guards/http2-goaway.ts';
import { type Connection, retire } from '#src/wire/connection.ts';

export interface ConnectionAgeLimits {
  /** The greatest age of a connection in milliseconds, plus or minus a tenth by chance; 0: unlimited. */
  readonly maxAgeMs: number;
  /** How long its calls may take after that, in milliseconds. It is longer than any deadline, so only streams are cut off. */
  readonly maxAgeGraceMs: number;
}

/**
 * Makes clients reconnect from time to time, so that they spread over newer instances and follow changes of DNS. An HTTP/1.1 client learns
 * it from an answer, and an HTTP/2 client from GOAWAY. What they sent before is still answered.
 *
 * The tenth by chance keeps clients that came together from returning together.
 */
export function createConnectionAge(limits: ConnectionAgeLimits, ended: ConnectionEnded): ConnectionCheck {
  const { maxAgeMs, maxAgeGraceMs } = limits;
  const retirements = new WeakMap<Connection, Retirement>();

  return (connection, now) => {
    if (maxAgeMs === 0) return;
    let state = retirements.get(connection);
    if (state === undefined) {
      state = { at: now + maxAgeMs * (0.9 + Math.random() * 0.2), stage: 'young', runningThen: undefined };
      retirements.set(connection, state);
    }
    if (now < state.at) return;
    if (state.stage === 'young') {
      state.stage = 'ending';
      state.runningThen = connection.latestResponse;
      ended('MAX_AGE');
      if (connection.session === undefined) retire(connection);
      else goAwayGracefully(connection, HEAR_OF_END_WITHIN_MS);
    } else if (state.stage === 'ending' && now >= state.at + maxAgeGraceMs) {
      // HTTP/1.1: a call after the announcement is the last one, and has its own deadline.
      const isCut = connection.session !== undefined || connection.latestResponse === state.runningThen;
      state.stage = 'over';
      if (isCut && (connection.session !== undefined || connection.answering)) connection.socket.destroy();
    }
  };
}

interface Retirement {
  readonly at: number;
  stage: 'young' | 'ending' | 'over';
  runningThen: Connection['latestResponse'];
}
