/** The call took longer than it may; it may still come to an end, of which nobody is told. */
export class TimeoutError extends Error {
  override readonly name = 'TimeoutError';
}

/**
 * The result of a work, if it comes within this time. One that has come while this process was busy with something else is taken
 * as well: who was late then is not the one who is waited for.
 *
 * @throws TimeoutError where it does not come.
 */
export function withTimeout<T>(limitMs: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined = setTimeout(() => {
      // After timers Node looks at what sockets have received, and then comes here.
      setImmediate(() => timer !== undefined && reject(new TimeoutError(`no result within ${limitMs} ms`)));
    }, limitMs);
    work.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      timer = undefined;
    });
  });
}
