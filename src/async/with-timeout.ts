import { addAbortListener } from 'node:events';

/** The work took longer than its limit. It may still end, and its result is dropped. */
export class TimeoutError extends Error {
  override readonly name = 'TimeoutError';
}

/**
 * The result of a work, if it comes within the limit. A result that arrived while this process was busy counts too, so that a blocked event
 * loop is not reported as a slow dependency.
 *
 * @throws TimeoutError if there is no result in time.
 */
export function withTimeout<T>(limitMs: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined = setTimeout(() => {
      // After timers, Node reads what sockets have received, and then runs this.
      setImmediate(() => timer !== undefined && reject(new TimeoutError(`no result within ${limitMs} ms`)));
    }, limitMs);
    work.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      timer = undefined;
    });
  });
}

/** The result of a work, or the signal's reason if that aborts first. The work then goes on, and its result is dropped. */
export function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const listening = addAbortListener(signal, () => reject(signal.reason));
    work.then(resolve, reject).finally(() => listening[Symbol.dispose]());
  });
}
