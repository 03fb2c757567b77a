import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KeyedReads } from '#src/db/keyed-reads.ts';
import type { ReadDemand, ReadStatement, SnapshotRow } from '#src/db/snapshot-reads.ts';
import { takeAdvisoryLock } from '#test/support/advisory-lock.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { query } from '#test/support/query.ts';
import { openLanes, type TestLanes } from '#test/support/test-lanes.ts';

let database: TestDatabase;
let open: TestLanes;

beforeAll(async () => {
  database = await createTestDatabase();
  await query(database.url, 'create table numbers (id int primary key, square int)');
  await query(database.url, 'insert into numbers select n, n * n from generate_series(0, 999) n');
  open = openLanes(database.url);
  await open.untilUp(2);
});

afterAll(async () => {
  await open[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

describe('KeyedReads', () => {
  it('gives each caller its row, and undefined where there is none', async () => {
    const { reads } = openReads();
    const keys = ['7', '1000', '0', '12'];
    const squares = await Promise.all(keys.map(async key => (await reads.get(key))?.square));
    expect(squares).toEqual([49, undefined, 0, 144]);
  });

  it('makes one statement of the reads of a turn of the event loop', async () => {
    const { reads, sent } = openReads();
    await Promise.all([
      reads.get('1'),
      Promise.resolve().then(() => reads.get('2')),
      nextTick().then(() => reads.get('3')),
    ]);
    expect(sent).toEqual([['1', '2', '3']]);
    await reads.get('4');
    expect(sent).toEqual([['1', '2', '3'], ['4']]);
  });

  it('asks once for a key that several want', async () => {
    const { reads, sent } = openReads();
    expect(await Promise.all([reads.get('3'), reads.get('3'), reads.get('4')])).toMatchObject([
      { square: 9 },
      { square: 9 },
      { square: 16 },
    ]);
    expect(sent).toEqual([['3', '4']]);
  });

  it('asks for no more than 100 keys at a time', async () => {
    const { reads, sent } = openReads();
    const keys = Array.from({ length: 250 }, (_, n) => String(n));
    const rows = await Promise.all(keys.map(key => reads.get(key)));
    expect(rows.map(row => row?.square)).toEqual(keys.map(key => Number(key) ** 2));
    expect(sent.map(keys => keys.length)).toEqual([100, 100, 50]);
  });

  it('fails only the calls for a key that Postgres refuses', async () => {
    const { reads } = openReads();
    const results = await Promise.allSettled([reads.get('3'), reads.get('none'), reads.get('4'), reads.get('none')]);
    expect(results).toMatchObject([
      { value: { square: 9 } },
      { reason: { code: '22P02' } },
      { value: { square: 16 } },
      { reason: { code: '22P02' } },
    ]);
  });

  it('fails every call where the statement fails otherwise, and asks no more', async () => {
    const { reads, sent } = openReads('select id, square from no_such_table where id = any($1)');
    const results = await Promise.allSettled([reads.get('3'), reads.get('4')]);
    expect(results).toMatchObject([{ reason: { code: '42P01' } }, { reason: { code: '42P01' } }]);
    expect(sent).toHaveLength(1);
  });

  it('rejects at once the call that is aborted, and no other for the same key', async () => {
    await using lock = await takeAdvisoryLock(database.url);
    const { reads } = openReads(`${SELECT} and (${lock.sql}) is not null`);
    const call = new AbortController();
    const gone = reads.get('3', call.signal);
    const others = [reads.get('3'), reads.get('3', new AbortController().signal), reads.get('4')];
    await lock.untilWaiting(1);
    call.abort(new Error('the client left'));
    await expect(gone).rejects.toThrow('the client left');
    await lock.release();
    expect((await Promise.all(others)).map(row => row?.square)).toEqual([9, 9, 16]);
  });

  it('does not ask for a key that nobody wants any more', async () => {
    const { reads, sent } = openReads();
    const call = new AbortController();
    const gone = reads.get('3', call.signal);
    const other = reads.get('4');
    call.abort(new Error('the client left'));
    await expect(gone).rejects.toThrow('the client left');
    await expect(reads.get('5', call.signal)).rejects.toThrow('the client left');
    await other;
    expect(sent).toEqual([['4']]);
  });
});

const SELECT = 'select pg_current_snapshot()::text as taken, id, square from numbers where id = any($1::int[])';

interface NumberRow extends SnapshotRow {
  readonly id: number;
  readonly square: number;
}

/** Reads over the lanes, and the keys of each statement. */
function openReads(text = SELECT) {
  const sent: unknown[] = [];
  const lanes = {
    isBusy: true,
    query: <Row extends SnapshotRow>(statement: ReadStatement, values: readonly unknown[], demand?: ReadDemand) => {
      sent.push(values[0]);
      return open.lanes.query<Row>(statement, values, demand);
    },
  };
  const statement = { name: `numbers ${statements++}`, text };
  return {
    reads: new KeyedReads<string, NumberRow>(lanes, statement, row => String(row.id)),
    sent: sent as string[][],
  };
}

let statements = 0;

function nextTick(): Promise<void> {
  return new Promise(resolve => {
    process.nextTick(resolve);
  });
}
