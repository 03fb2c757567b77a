import { type MutatedRequest, mutatedRequests } from '#test/support/mutated-requests.ts';
import { OutcomeSender } from '#test/support/outcome-sender.ts';
import type { Verdict } from './verdict.ts';

/** H8: mutated requests of every protocol, 64 at a time. Tells every 10 s how far it is. */
export async function attackWithMutations(url: string, cases: number, seed: number): Promise<Verdict[]> {
  using sender = new OutcomeSender(url);
  const requests = mutatedRequests(seed, cases);
  const begin = performance.now();
  const faults: string[] = [];
  const waiting = new Set<Waiting>();
  let [answered, unanswered, looks] = [0, 0, 0];

  const send = async (request: MutatedRequest) => {
    const { promise: late, resolve: giveUp } = Promise.withResolvers<undefined>();
    const entry = { since: looks, giveUp: () => giveUp(undefined) };
    waiting.add(entry);
    const outcome = await Promise.race([sender.send(request), late]);
    waiting.delete(entry);
    return outcome;
  };
  const work = async () => {
    for (const request of requests) {
      const outcome = await send(request);
      answered++;
      if (outcome === undefined || outcome.status === 0) unanswered++;
      if (outcome?.isFault === false && outcome.status !== 0) continue;
      const text = outcome?.text ?? 'no answer in time';
      if (outcome?.isFault) faults.push(text);
      if (faults.length + unanswered <= 10) console.log(`${describe(request)}: ${text}`);
    }
  };
  const timer = setInterval(() => {
    looks++;
    for (const { since, giveUp } of waiting) if (looks - since > PATIENCE) giveUp();
    const perSecond = answered / ((performance.now() - begin) / 1000);
    const left = (cases - answered) / perSecond / 60;
    console.log(
      `H8: ${answered} of ${cases}, ${perSecond.toFixed(0)}/s, ${left.toFixed(1)} min left, ${faults.length} faults, ${unanswered} without an answer`,
    );
  }, LOOK_EVERY_MS);
  await Promise.all(Array.from({ length: 64 }, work));
  clearInterval(timer);

  const attack = `${cases} mutated requests, seed ${seed}`;
  const figure = `${faults.length} faults, ${unanswered} without an answer, in ${((performance.now() - begin) / 60_000).toFixed(1)} min`;
  const isMet = faults.length + unanswered === 0;
  return [{ id: 'H8', attack, figure, target: '0 of the 5xx kind, 0 crashes', isMet }];
}

/** A request without an answer for so many looks is given up. Counted in looks, so that a process that is stopped blames nobody. */
const PATIENCE = 6;
const LOOK_EVERY_MS = 10_000;

function describe({ method, path, headers, body }: MutatedRequest): string {
  return `${method} ${path} ${JSON.stringify(headers)} ${body.toString('base64')}`;
}

interface Waiting {
  readonly since: number;
  readonly giveUp: () => void;
}
