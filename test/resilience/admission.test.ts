import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Admission } from '#src/resilience/admission.ts';
import type { Criticality } from '#src/resilience/criticality.ts';
import { OverloadedError } from '#src/resilience/overloaded-error.ts';

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

  it('lets a call wait until shortly before its deadline', async () => {
    const { call, clock } = anAdmission({ limit: 1 });
    const [running, waiting] = [call('critical', { deadlineMs: 60_000 }), call('critical', { deadlineMs: 60_000 })];
    clock.now = 55_000;
    await running.end();
    expect(waiting.hasBegun).toBe(true);
  });

  it('refuses whose turn comes too late for an answer, as long as calls take', async () => {
    const { call, clock } = anAdmission({ limit: 1 });
    for (let n = 0; n < 500; n++) {
      const first = call('critical');
      clock.now += 90;
      await first.end();
    }
    const [running, late, later] = [
      call('critical'),
      call('critical', { deadlineMs: 100 }),
      call('critical', { deadlineMs: 300 }),
    ];
    clock.now += 90;
    await running.end();
    await expect(late.result).rejects.toThrow('the turn came too late for an answer in time');
    expect(later.hasBegun).toBe(true);
  });

  it('asks for the deadline when the turn comes, since more callers may have joined', async () => {
    const { admission, call, clock } = anAdmission({ limit: 1 });
    const running = call('critical');
    let deadline = 100;
    const joined = admission.run(
      () => Promise.resolve('done'),
      { deadline: () => deadline },
      () => true,
    );
    clock.now = 90;
    deadline = 1000;
    await running.end();
    await expect(joined).resolves.toBe('done');
  });

  it('refuses those that have waited for most of a tenth of their time, once the queue keeps growing', async () => {
    const { call, clock, refused } = anAdmission({ limit: 1 });
    let running = call('critical', { deadlineMs: 1000 });
    const waiting: Call[] = [];
    while (clock.now < 700) {
      for (let n = 0; n < 4; n++) waiting.push(call('critical', { deadlineMs: 1000 }));
      clock.now += 10;
      await running.end();
      running = waiting.find(({ hasBegun, hasEnded }) => hasBegun && !hasEnded) as Call;
      if (clock.now < 400) expect(refused).toEqual([]);
    }
    const oldest = waiting.filter(({ hasBegun, hasEnded }) => !hasBegun && !hasEnded);
    // Four come each 10 ms, of which one is served.
    expect(oldest.length).toBeLessThan(45);
    expect(refused.length).toBeGreaterThan(100);
  });

  it('refuses under overload what is sheddable, and nothing critical while that is enough', async () => {
    const { call, clock, refused } = anAdmission({ limit: 1 });
    const calls = [call('critical')];
    const endRunning = async () => calls.find(({ hasBegun, hasEnded }) => hasBegun && !hasEnded)?.end();
    while (clock.now < 2000) {
      calls.push(call('sheddable', { deadlineMs: 1000 }), call('critical', { deadlineMs: 1000 }));
      clock.now += 10;
      await endRunning();
    }
    expect(new Set(refused)).toEqual(new Set(['sheddable']));
    expect(refused.length).toBeGreaterThan(100);
  });

  it('begins all who wait when it is told to, beyond its limit', async () => {
    const { admission, call } = anAdmission({ limit: 1 });
    const calls = [call('critical'), call('critical'), call('sheddable')];
    admission.beginAll();
    await settled();
    expect(calls.map(({ hasBegun }) => hasBegun)).toEqual([true, true, true]);
    expect(admission.state).toEqual({ limit: 1, inFlight: 3, queued: 0 });
    for (const { end } of calls) await end();
    expect(admission.state).toEqual({ limit: 1, inFlight: 0, queued: 0 });
  });

  it('lets go at once who is aborted while it waits, and begins nothing for it', async () => {
    const { admission, call } = anAdmission({ limit: 1 });
    const running = call('critical');
    const caller = new AbortController();
    const waiting = call('critical', { signal: caller.signal });
    caller.abort(new Error('gone'));
    await expect(waiting.result).rejects.toThrow('gone');
    expect(admission.state.queued).toBe(0);
    await running.end();
    expect(waiting.hasBegun).toBe(false);
  });

  it('refuses at once who is aborted before', async () => {
    const { call } = anAdmission({ limit: 1 });
    call('critical');
    const gone = call('critical', { signal: AbortSignal.abort(new Error('gone')) });
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
            calls.push({ call: call(next.call, { signal: caller.signal }), caller });
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

interface CallOptions {
  readonly signal?: AbortSignal;
  readonly deadlineMs?: number;
}

function anAdmission({ limit = 1, queueMax = 1000 }) {
  const clock = { now: 0 };
  const refused: Criticality[] = [];
  const admission = new Admission({
    ...{ limit, queueMax, now: () => clock.now },
    onRefused: criticality => refused.push(criticality),
  });
  const call = (criticality: Criticality, { signal, deadlineMs }: CallOptions = {}): Call => {
    const deadline = deadlineMs === undefined ? undefined : clock.now + deadlineMs;
    const work = Promise.withResolvers<void>();
    const state = { hasBegun: false, hasEnded: false };
    const begin = () => {
      state.hasBegun = true;
      return work.promise;
    };
    const result = admission.run(begin, { criticality, signal, deadline: () => deadline }, () => true);
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
