import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Makes a function that has V8 free the bytes of large answers soon after they are given back. V8 decides by its own heap, which does not hold
 * texts and buffers of this size. It would keep as much garbage as all answers may take.
 *
 * Young garbage is collected after each 8 MiB, in one or two milliseconds. If 12 MiB remain, all garbage is collected, in about ten.
 */
export function createLargeGarbage(): (bytes: number) => void {
  // Otherwise another thread frees them, later on a busy machine.
  setFlagsFromString('--no-concurrent-array-buffer-sweeping');
  setFlagsFromString('--expose-gc');
  const gc: NodeJS.GCFunction = runInNewContext('gc');
  setFlagsFromString('--no-expose-gc');
  let givenBack = 0;
  let least = process.memoryUsage().external;
  const collect = () => {
    gc({ type: 'minor', execution: 'sync' });
    if (process.memoryUsage().external > least + LEFT_BYTES) {
      gc({ type: 'major', execution: 'sync' });
      least = process.memoryUsage().external;
    }
    least = Math.min(least, process.memoryUsage().external);
  };
  return bytes => {
    givenBack += bytes;
    if (givenBack < COLLECT_BYTES) return;
    givenBack = 0;
    setImmediate(collect);
  };
}

const COLLECT_BYTES = 8 * 1024 * 1024;
const LEFT_BYTES = 12 * 1024 * 1024;
