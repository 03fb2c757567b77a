import type { ConnectionCheck, ConnectionEnded } from '#src/http/guards/connection-sweeper.ts';
import { goAwayGracefully, HEAR_OF_END_WITHIN_MS } from '#src/http/guards/http2-goaway.ts';
import { type Connection, retire } from '#src/wire/connection.ts';

export interface ConnectionAgeLimits {
  /** How old a connection may get, in milliseconds, give or take a tenth by chance; 0: as old as it likes. */
  readonly maxAgeMs: number;
  /** How long its calls may take from then on, in milliseconds; longer than any deadline, so that only streams are cut off. */
  readonly maxAgeGraceMs: number;
}

/**
 * Has clients open new connections from time to time, so that they spread over instances that came later, and find those that
 * a name stands for now. An HTTP/1.1 client is told so with an answer, an HTTP/2 client by GOAWAY, and what either sends before it
 * has heard that is still answered.
 *
 * The tenth by chance keeps clients that came together from coming back together.
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
      // HTTP/1.1: a call that came after the announcement is the last one, and has its own deadline.
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
