import { setTimeout as delay } from 'node:timers/promises';
import type { ContestantProcess } from './contestant-process.ts';
import type { Load } from './load.ts';

/** What was seen of one server in one slice of time. */
export interface Slice {
  /** Calls a second. */
  readonly rate: number;
  /** CPU time of the server a call, in microseconds. */
  readonly cpuUs: number;
  /** How much of its core the server used, from 0 to 1: below 0.95 it was not the server that limited the rate. */
  readonly serverShare: number;
}

/**
 * Calls a server as fast as it answers, over new connections, and measures a slice of that.
 *
 * @param ms how long the slice is; a short while before it is not counted.
 * @throws where an answer is wrong, or does not come.
 */
export async function measureSlice(load: Load, server: ContestantProcess, ms: number): Promise<Slice> {
  await load.connect();
  const look = () => ({
    answered: load.answered,
    at: performance.now(),
    serverUs: server.cpuUs(),
  });
  const polling = stayAwake();
  load.start();
  await delay(RAMP_MS);
  const before = look();
  await delay(ms);
  const after = look();
  await withinTime(load.stop());
  polling.stop();
  load.close();
  const calls = after.answered - before.answered;
  if (calls === 0) throw new Error('no call was answered');
  const elapsedUs = (after.at - before.at) * 1000;
  const serverUs = after.serverUs - before.serverUs;
  return {
    rate: (calls / elapsedUs) * 1e6,
    cpuUs: serverUs / calls,
    serverShare: serverUs / elapsedUs,
  };
}

/**
 * Keeps this process from sleeping until an answer is there. To wake a core that sleeps costs the server that wakes it, in its write, 10 to
 * 40 us on a virtual machine. The slower the server is, the more often that happens, and none of it is the server's work.
 */
function stayAwake(): { stop(): void } {
  let awake = true;
  const turn = () => {
    if (awake) setImmediate(turn);
  };
  turn();
  return {
    stop: () => {
      awake = false;
    },
  };
}

async function withinTime(work: Promise<void>): Promise<void> {
  const timer = new AbortController();
  const late = delay(ANSWER_TIMEOUT_MS, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`calls are unanswered after ${ANSWER_TIMEOUT_MS} ms`);
  });
  late.catch(() => {});
  try {
    await Promise.race([work, late]);
  } finally {
    timer.abort();
  }
}

/** Enough for the connections to be busy, and the server's code and data to be in the core's caches again. */
const RAMP_MS = 50;
const ANSWER_TIMEOUT_MS = 5000;
