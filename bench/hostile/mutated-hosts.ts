import { mutateHost, seededRandom } from '#test/support/mutated-hosts.ts';
import { healthCheck, sendRaw, statusOf } from '#test/support/raw-http.ts';
import type { Verdict } from './verdict.ts';

/** H1: mutated Hosts, 16 at a time. A test (test/http/guards/host-guard.test.ts) does the same with every other form of a bad Host. */
export async function attackWithHosts(url: string, seed: number): Promise<Verdict[]> {
  const port = Number(new URL(url).port);
  const random = seededRandom(seed);
  const statuses = new Map<number, number>();
  let sent = 0;
  let wrong = 0;
  const work = async () => {
    while (sent++ < HOSTS) {
      const host = mutateHost('blog.example.com:8080', random);
      const status = statusOf(await sendRaw(port, healthCheck(`Host: ${host}\r\n`))) ?? 0;
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      const mayBeServed = URL.canParse(`http://${host.trim()}`);
      if (status !== 400 && !(status === 200 && mayBeServed)) wrong++;
    }
  };
  await Promise.all(Array.from({ length: 16 }, work));
  const counts = [...statuses]
    .map(([status, count]) => `${count} times ${status === 0 ? 'no answer' : status}`)
    .join(', ');
  const attack = `${HOSTS} mutated Hosts, seed ${seed}`;
  return [{ id: 'H1', attack, figure: counts, target: '400, or 200 for a good one; alive', isMet: wrong === 0 }];
}

const HOSTS = 10_000;
