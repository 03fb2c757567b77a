import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Snapshot } from '#src/db/snapshot.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';

let database: TestDatabase;
let client: pg.Client;
beforeAll(async () => {
  database = await createTestDatabase({ migrated: false });
  client = new pg.Client(database.url);
  await client.connect();
});
afterAll(async () => {
  await client?.end();
  await database?.[Symbol.asyncDispose]();
});

const snapshot = fc
  .record({
    // The lower 32 bits are never 0 to 2, which stand for no transaction.
    min: fc
      .tuple(fc.bigInt(0n, 2n ** 20n), fc.bigInt(3n, 2n ** 32n - 100n))
      .map(([epoch, low]) => epoch * 2n ** 32n + low),
    ids: fc.uniqueArray(fc.integer({ min: 0, max: 30 }), { maxLength: 8 }),
    length: fc.integer({ min: 0, max: 30 }),
  })
  .map(({ min, ids, length }) => {
    // The first that runs is what it begins with, as on every primary.
    const running = length === 0 ? [] : [0, ...ids.filter(id => id > 0 && id < length).toSorted((a, b) => a - b)];
    return { min, text: `${min}:${min + BigInt(length)}:${running.map(id => min + BigInt(id)).join(',')}` };
  });

describe('A snapshot', () => {
  it('sees the transactions that Postgres says it sees', async () => {
    await fc.assert(
      fc.asyncProperty(snapshot, fc.integer({ min: -3, max: 33 }), async ({ min, text }, offset) => {
        const xid = min + BigInt(offset);
        const { rows } = await client.query('select pg_visible_in_snapshot($1::xid8, $2::pg_snapshot) as sees', [
          String(xid),
          text,
        ]);
        expect(new Snapshot(text).sees(xid)).toBe(rows[0].sees);
      }),
      { numRuns: 300 },
    );
  });

  it('covers those that see no transaction that it does not see', () => {
    const small = fc
      .record({
        min: fc.integer({ min: 3, max: 8 }),
        running: fc.array(fc.integer({ min: 0, max: 7 })),
        length: fc.nat(7),
      })
      .map(({ min, running, length }) => ({
        text: `${min}:${min + length}:${[...new Set([0, ...running])]
          .filter(id => id < length)
          .toSorted((a, b) => a - b)
          .map(id => min + id)}`,
      }));
    fc.assert(
      fc.property(small, small, (a, b) => {
        const [one, other] = [new Snapshot(a.text), new Snapshot(b.text)];
        const all = Array.from({ length: 20 }, (_, xid) => BigInt(xid));
        expect(one.covers(other)).toBe(all.every(xid => one.sees(xid) || !other.sees(xid)));
      }),
      { numRuns: 2000 },
    );
  });

  it('knows which transactions had all ended before it', () => {
    const { hasEnded } = { hasEnded: (xid: bigint) => new Snapshot('10:20:10,15').hasEnded(xid) };
    expect([9n, 10n, 11n, 25n].map(hasEnded)).toEqual([true, false, false, false]);
  });

  it('counts for no more than what is sure where it was taken on a replica, which does not tell what runs', () => {
    const snapshot = new Snapshot('803:805:');
    expect([802n, 803n, 804n].map(xid => snapshot.sees(xid))).toEqual([true, false, false]);
    expect(snapshot.covers(new Snapshot('803:805:803'))).toBe(false);
  });

  it.each(['', '1:2', '1:2:x', '1:2:3,', ':2:', '-1:2:', `1:2:${'9'.repeat(30)}`])('refuses the text %j', text => {
    expect(() => new Snapshot(text)).toThrow(RangeError);
  });
});
