import { existsSync, readFileSync } from 'node:fs';
import { openPublicPort } from '#test/support/public-port.ts';

// The public port in a process of its own, so that a test can see what a request costs it. Tells its parent the port, and
// answers each message with the most memory that it has had resident, in KB.
const port = await openPublicPort();
process.on('message', () => process.send?.(peakRssKb()));
process.send?.(port.port);

function peakRssKb(): number {
  // Linux hands `maxRSS` on from the parent, and a parent that makes large bodies has had more.
  if (!existsSync('/proc/self/status')) return process.resourceUsage().maxRSS;
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
}
