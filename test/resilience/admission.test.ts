import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Admission, OverloadedError } from '#src/resilience/admission.ts';
import type { Criticality } from '#src/resilience/criticality.ts';

describe('An admission', () => {
  it('begins as many works as its limit allows, and the next ones as others end', async () => {
    const { admission, call } = anAdmission({ limit: 2 });
    const [first, , third] = [call('critical'), call('critical'), call('critical')];
    expect(third.hasBegun).toBe(false);
    expect(admission.state).toEqual({ limit: 2, inFlight: 2, queued: 1 });
    await first.end();
    expect(third.hasBegun).toBe(true);
    expect(admission.state).toEqual({ limit: 2, inFlight: 2, queued: 0 });
  });

  it('begins the most critical first, and of those who came first', async () => {
    const { call } = anAdmission({ limit: 1 });
    const running = call('critical');
    const [sheddable, first, second, plus] = [
      call('sheddable'),
      call('critical'),
      call('critical'),
      call('critical-plus'),
    ];
    const order = [];
    for (let next: Call | undefined = running; next !== undefined; ) {
      await next.end();
      next = [sheddable, first, second, plus].find(({ hasBegun, hasEnded }) => hasBegun && !hasEnded);
      order.push(next);
    }
    expect(order).toEqual([plus, first, second, sheddable, undefined]);
  });

  it('refuses what comes to a full queue, and rather the newest of what is less critical', async () => {
    const { call, refused } = anAdmission({ limit: 1, queueMax: 2 });
    call('critical');
    const [older, newer] = [call('sheddable-plus'), call('sheddable')];
    const important = call('critical');
    await expect(newer.result).rejects.toBeInstanceOf(OverloadedError);
    const sheddable = call('sheddable');
    await expect(sheddable.result).rejects.toBeInstanceOf(OverloadedError);
    call('critical');
    await expect(older.result).rejects.toBeInstanceOf(OverloadedError);
    await expect(call('critical').result).rejects.toBeInstanceOf(OverloadedError);
    expect(important.hasEnded).toBe(false);
    expect(refused).toEqual(['sheddable', 'sheddable', 'sheddable-plus', 'critical']);
  });

  it('lets nobody wait for longer than a call takes, where calls have waited for so long for some seconds', async () => {
    const { call, clock } = anAdmission({ limit: 1, queueTimeoutMs: 60_000 });
    let running = call('critical');
    for (let n = 0; n < 100; n++) {
      const next = call('critical');
      clock.now += 25;
      await running.end();
      running = next;
    }
    await expect(call('critical').result).rejects.toThrow('it took too long until its turn');
  });

  it('lets a burst wait for as long as it may', async () => {
    const { call, clock } = anAdmission({ limit: 1, queueTimeoutMs: 1000 });
    const burst = Array.from({ length: 100 }, () => call('critical'));
    for (const running of burst) {
      clock.now += 2;
      await running.end();
    }
    await Promise.all(burst.map(({ result }) => result));
  });

  it('lets calls wait for as long as before, once others have begun without a wait for some seconds', async () => {
    const { call, clock } = anAdmission({ limit: 1, queueTimeoutMs: 1000 });
    for (let n = 0; n < 50; n++) {
      const [running, next] = [call('critical'), call('critical')];
      clock.now += 25;
      await running.end();
      await next.end();
    }
    for (let n = 0; n < 50; n++) {
      clock.now += 100;
      await call('critical').end();
    }
    call('critical');
    call('critical');
    clock.now += 999;
    // Who comes now is refused only where others have waited for longer than calls may.
    expect(call('critical').hasEnded).toBe(false);
    clock.now += 2;
    await expect(call('critical').result).rejects.toThrow('too long a queue');
  });

  it('refuses what is sheddable where others have waited for a while', async () => {
    const { call, clock } = anAdmission({ limit: 1, queueTimeoutMs: 900 });
    call('critical');
    call('critical');
    clock.now += 91;
    await expect(call('sheddable').result).rejects.toBeInstanceOf(OverloadedError);
    const critical = call('critical');
    expect(critical.hasEnded).toBe(false);
  });

  it('refuses who has waited for too long', async () => {
    const { admission, call } = anAdmission({ limit: 1, queueTimeoutMs: 20 });
    call('critical');
    await expect(call('critical').result).rejects.toThrow('it took too long until its turn');
    expect(admission.state.queued).toBe(0);
  });

  it('lets go at once who is aborted while it waits, and begins nothing for it', async () => {
    const { admission, call } = anAdmission({ limit: 1 });
    const running = call('critical');
    const caller = new AbortController();
    const waiting = call('critical', caller.signal);
    caller.abort(new Error('gone'));
    await expect(waiting.result).rejects.toThrow('gone');
    expect(admission.state.queued).toBe(0);
    await running.end();
    expect(waiting.hasBegun).toBe(false);
  });

  it('refuses at once who is aborted before', async () => {
    const { call } = anAdmission({ limit: 1 });
    call('critical');
    const gone = call('critical', AbortSignal.abort(new Error('gone')));
    await expect(gone.result).rejects.toThrow('gone');
  });

  it('loses no place, whatever comes in which order', async () => {
    const step = fc.oneof(
      fc.record({ call: fc.constantFrom<Criticality>('critical', 'sheddable', 'critical-plus') }),
      fc.record({ end: fc.nat(5) }),
      fc.record({ abort: fc.nat(5) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async steps => {
        const { admission, call } = anAdmission({ limit: 3, queueMax: 4 });
        const calls: { call: Call; caller: AbortController }[] = [];
        for (const next of steps) {
          const open = calls.filter(made => !made.call.hasEnded);
          if ('call' in next) {
            const caller = new AbortController();
            calls.push({ call: call(next.call, caller.signal), caller });
          } else if ('end' in next) {
            const running = open.filter(made => made.call.hasBegun);
            await running[next.end % Math.max(running.length, 1)]?.call.end();
          } else open[next.abort % Math.max(open.length, 1)]?.caller.abort();
          await settled();
          const inFlight = calls.filter(made => made.call.hasBegun && !made.call.hasEnded).length;
          const queued = calls.filter(made => !made.call.hasBegun && !made.call.hasEnded).length;
          expect(admission.state).toEqual({ limit: 3, inFlight, queued });
          expect(queued === 0 || inFlight === 3).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });
});

interface Call {
  readonly result: Promise<unknown>;
  readonly hasBegun: boolean;
  readonly hasEnded: boolean;
  /** Ends its work, and resolves when all that follows has happened. */
  end(): Promise<void>;
}

function anAdmission({ limit = 1, queueMax = 100, queueTimeoutMs = 60_000 }) {
  const clock = { now: 0 };
  const refused: Criticality[] = [];
  const admission = new Admission({
    limit: { limit, unloadedMs: 20, ended: () => {} },
    ...{ queueMax, queueTimeoutMs, now: () => clock.now },
    onRefused: criticality => refused.push(criticality),
  });
  const call = (criticality: Criticality, signal?: AbortSignal): Call => {
    const work = Promise.withResolvers<void>();
    const state = { hasBegun: false, hasEnded: false };
    const begin = () => {
      state.hasBegun = true;
      return work.promise;
    };
    const result = admission.run(begin, { criticality, signal }, () => true);
    result
      .catch(() => {})
      .finally(() => {
        state.hasEnded = true;
      });
    return {
      result,
      get hasBegun() {
        return state.hasBegun;
      },
      get hasEnded() {
        return state.hasEnded;
      },
      end: async () => {
        work.resolve();
        await settled();
      },
    };
  };
  return { admission, call, clock, refused };
}

/** What promises lead to has happened. */
function settled(): Promise<void> {
  return new Promise(resolve => {
    setImmediate(resolve);
  });
}
