import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { quartiles } from '../quartiles.ts';
import { callAtConstantRate } from './good-clients.ts';
import type { Verdict } from './verdict.ts';

/**
 * H5: each flood by one client that connects again when it is closed, in rounds between calm ones. It has a process of its own, of the
 * lowest priority: a client elsewhere would not take its CPU from the service and the others.
 */
export async function attackWithFloods(url: string): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  const { port } = new URL(url);
  await callAtConstantRate(url, AbortSignal.timeout(ROUND_MS));
  for (const [attack, { rounds, ms }] of Object.entries(FLOODS)) {
    const [calm, attacked] = [[], []] as [number[], number[]];
    let [closed, calls, failed] = [0, 0, 0];
    for (let round = 0; round < rounds; round++) {
      calm.push((await callAtConstantRate(url, AbortSignal.timeout(ROUND_MS))).p99Ms);
      const flooding = flood(attack, port, ms);
      const good = await callAtConstantRate(url, AbortSignal.timeout(ms));
      closed += await flooding;
      attacked.push(good.p99Ms);
      calls += good.calls;
      failed += good.failed;
      await delay(500);
    }
    const [before, during] = [quartiles(calm).median, quartiles(attacked).median];
    const ratio = during / before;
    const figure = `p99 ${during.toFixed(1)} ms against ${before.toFixed(1)} ms, ${ratio.toFixed(2)}x; ${failed} of ${calls} failed`;
    console.log(`${attack}: closed ${closed} times; ${figure}`);
    verdicts.push(
      { id: 'H5', attack, figure: `closed ${closed} times`, target: 'session closed', isMet: closed > 0 },
      { id: 'H5', attack: `${attack}: others`, figure, target: '<= 2x', isMet: ratio <= 2 && failed === 0 },
    );
  }
  return verdicts;
}

const ROUND_MS = 5000;
const FLOODS: Readonly<Record<string, { readonly rounds: number; readonly ms: number }>> = {
  'rapid reset': { rounds: 5, ms: ROUND_MS },
  'CONTINUATION flood': { rounds: 5, ms: ROUND_MS },
  'ping flood': { rounds: 5, ms: ROUND_MS },
  'settings flood': { rounds: 5, ms: ROUND_MS },
  // Longer than the service waits for those that take nothing.
  'zero windows': { rounds: 1, ms: 30_000 },
};

/** How often the attacker was closed. */
async function flood(name: string, port: string, ms: number): Promise<number> {
  const script = join(import.meta.dirname, 'flood.ts');
  const args = ['-n', '19', process.execPath, script, '--flood', name, '--port', port, '--ms', String(ms)];
  const { stdout } = await promisify(execFile)('nice', args);
  return (JSON.parse(stdout) as { closed: number }).closed;
}
