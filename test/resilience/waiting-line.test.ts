import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type LinePlace, WaitingLine } from '#src/resilience/waiting-line.ts';

it('A line keeps the order in which its members came, whoever leaves', () => {
  const step = fc.oneof(fc.constant('come' as const), fc.nat(20));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), steps => {
      const line = new WaitingLine<LinePlace>();
      const model: LinePlace[] = [];
      for (const next of steps) {
        if (next === 'come') {
          const place: LinePlace = { before: undefined, after: undefined };
          line.add(place);
          model.push(place);
        } else for (const place of model.splice(next % Math.max(model.length, 1), 1)) line.remove(place);
        const members: LinePlace[] = [];
        for (let place = line.oldest; place !== undefined; place = place.after) members.push(place);
        // By identity: they are circular.
        expect(members.length === model.length && members.every((place, n) => place === model[n])).toBe(true);
        expect(line.newest === model.at(-1)).toBe(true);
      }
    }),
  );
});
