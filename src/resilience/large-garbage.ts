import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Makes a function that is told of bytes that large answers have given back, and has V8 free them soon. V8 goes by the bytes of its own
 * heap, in which texts and buffers of this size are not, and would let as much again lie as all answers may take.
 *
 * The young ones are freed after each 8 MiB, in a millisecond or two; all of them, in some ten, where 12 MiB are left all the same.
 */
export function createLargeGarbage(): (bytes: number) => void {
  // Or a thread of its own frees them, some time later, on a machine that is busy.
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
