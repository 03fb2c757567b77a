import { randomInt } from 'node:crypto';
import { expect, it } from 'vitest';
import { mutatedRequests } from '#test/support/mutated-requests.ts';
import { OutcomeSender } from '#test/support/outcome-sender.ts';
import { startTestService } from '#test/support/test-service.ts';

// Faults of ours show with any seed; a new one each time finds more of them, and the message says which it was.
const seed = randomInt(2 ** 31);
const REQUESTS = 2000;

it(`${REQUESTS} mutated requests of every protocol are each answered, and none with a fault of ours`, async () => {
  await using service = await startTestService();
  using sender = new OutcomeSender(service.url);
  const requests = mutatedRequests(seed, REQUESTS);
  const statuses = new Map<number, number>();
  const work = async () => {
    for (const request of requests) {
      const outcome = await sender.send(request);
      const told = `seed ${seed}: ${request.method} ${request.path} ${JSON.stringify(request.headers)} ${request.body.toString('base64')}`;
      expect(outcome.isFault, `${told}: ${outcome.text}`).toBe(false);
      expect(outcome.status, told).toBeGreaterThan(0);
      statuses.set(outcome.status, (statuses.get(outcome.status) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: 8 }, work));
  expect(statuses.get(200)).toBeGreaterThan(0);
  expect(statuses.get(400)).toBeGreaterThan(0);
  await expect(service.client.listPosts({})).resolves.toBeDefined();
});
