import { mutatedRequests } from '#test/support/mutated-requests.ts';
import { OutcomeSender } from '#test/support/outcome-sender.ts';
import type { Verdict } from './verdict.ts';

/** H8: mutated requests of every protocol, 32 at a time. */
export async function attackWithMutations(url: string, cases: number, seed: number): Promise<Verdict[]> {
  using sender = new OutcomeSender(url);
  const requests = mutatedRequests(seed, cases);
  const faults: string[] = [];
  let unanswered = 0;
  const work = async () => {
    for (const request of requests) {
      const { status, isFault, text } = await sender.send(request);
      if (status === 0) unanswered++;
      if (!isFault) continue;
      faults.push(text);
      if (faults.length <= 10)
        console.log(`${JSON.stringify(request.headers)} ${request.path} ${request.body.toString('base64')}: ${text}`);
    }
  };
  await Promise.all(Array.from({ length: 32 }, work));
  const attack = `${cases} mutated requests, seed ${seed}`;
  const figure = `${faults.length} faults, ${unanswered} without an answer`;
  return [
    { id: 'H8', attack, figure, target: '0 of the 5xx kind, 0 crashes', isMet: faults.length + unanswered === 0 },
  ];
}
