import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunStatement } from '#src/posts/feed/feed-head.ts';
import type { PostChange } from '#src/posts/feed/post-change.ts';
import { type PostChangePosition, placeBehind } from '#src/posts/feed/post-change-position.ts';
import { type BatchLimits, readPosition, readPostChanges } from '#src/posts/feed/post-change-query.ts';
import { RecentChanges } from '#src/posts/feed/recent-changes.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';

/** So small that all ways through the statement are taken. */
const LIMITS: BatchLimits = { found: 3, scanned: 5, near: 2 };
const EVERY = { author: undefined, tag: undefined };
const POSTS = Array.from({ length: 3 }, (_, n) => `00000000-0000-7000-8000-00000000000${n}`);
const WRITERS = 4;

let database: TestDatabase;
let client: pg.Client;
let writers: pg.Client[];
const names = new Map<string, string>();
/** Prepared, since they are so many. */
const run: RunStatement = async (text, values) => {
  const name = names.get(text) ?? `statement-${names.size}`;
  names.set(text, name);
  return (await client.query({ name, text, values: [...values] })).rows;
};

beforeAll(async () => {
  database = await createTestDatabase();
  [client, ...writers] = (await Promise.all(
    Array.from({ length: WRITERS + 1 }, async () => {
      const opened = new pg.Client(database.url);
      await opened.connect();
      return opened;
    }),
  )) as [pg.Client, ...pg.Client[]];
});
afterAll(async () => {
  await Promise.all([client, ...writers].map(each => each.end()));
  await database?.[Symbol.asyncDispose]();
});

type Step =
  | { readonly kind: 'write'; readonly writer: number; readonly post: number; readonly times: number }
  | { readonly kind: 'end'; readonly writer: number; readonly how: 'commit' | 'rollback' }
  | { readonly kind: 'begin reading' | 'mark' | 'follow' }
  | { readonly kind: 'read' | 'resume twice'; readonly reader: number };

const writer = fc.nat(WRITERS - 1);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('write' as const),
        writer,
        post: fc.nat(2),
        times: fc.integer({ min: 1, max: 4 }),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('end' as const),
        writer,
        how: fc.constantFrom('commit', 'commit', 'commit', 'rollback'),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constantFrom('begin reading' as const, 'mark' as const, 'follow' as const) }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constantFrom('read' as const, 'read' as const, 'resume twice' as const),
        reader: fc.nat(20),
      }),
    },
  ),
  { minLength: 20, maxLength: 60 },
);

/** Somebody who has read some changes, in that order. */
interface Reader {
  position: PostChangePosition;
  readonly seen: ReadonlySet<string>;
  readonly told: PostChange[];
}

describe('Whoever reads from any place, while transactions of any length begin and end in any order', () => {
  it("gets every change that was not seen there once, and each post's in order; from memory the same, or nothing", async () => {
    let recalls = 0;
    await fc.assert(
      fc.asyncProperty(steps, async schedule => {
        const readers: Reader[] = [];
        const holders = new Map<number, number>();
        const recent = new RecentChanges(20);
        let followed = await readPosition(run);
        recent.restart(followed);
        const follow = async () => {
          for (let complete = false; !complete; ) {
            const batch = await readPostChanges(run, followed, [EVERY], LIMITS);
            recent.add(batch);
            followed = placeBehind(batch, followed);
            complete = batch.complete;
          }
        };
        const read = async (reader: Reader) => {
          const recalled = recent.read(reader.position, EVERY);
          if (recalled !== undefined) {
            recalls++;
            await expectSame(recalled, reader.position);
          }
          const batch = await readPostChanges(run, reader.position, [EVERY], LIMITS);
          reader.told.push(...batch.changes);
          reader.position = placeBehind(batch, reader.position);
          return batch.complete;
        };
        for (const step of schedule) {
          if (step.kind === 'write') await write(step, holders);
          else if (step.kind === 'end') await end(step.writer, step.how, holders);
          else if (step.kind === 'mark') await client.query('select post_changes_mark(1)');
          else if (step.kind === 'follow') await follow();
          else if (step.kind === 'begin reading') {
            readers.push({ position: await readPosition(run), seen: new Set(await visible()), told: [] });
          } else if ('reader' in step) {
            const reader = readers[step.reader % readers.length];
            if (reader === undefined) continue;
            if (step.kind === 'resume twice') readers.push({ ...reader, told: [...reader.told] });
            await read(reader);
          }
        }
        for (let n = 0; n < WRITERS; n++) await end(n, 'commit', holders);
        const all = await visible();
        for (const reader of readers) {
          // Complete up to the place that it went for, and then up to the end.
          for (let atEnd = false; !atEnd; ) {
            const isWhole = reader.position.to === undefined;
            atEnd = (await read(reader)) && isWhole;
          }
          const told = reader.told.map(({ id }) => String(id));
          expect([...told].sort()).toEqual(all.filter(id => !reader.seen.has(id)).sort());
          for (const post of POSTS) {
            const ids = reader.told.filter(change => change.post.id === post).map(({ id }) => id);
            expect(ids).toEqual([...ids].sort((a, b) => (a < b ? -1 : 1)));
          }
        }
      }),
      { numRuns: 25, endOnFailure: true },
    );
    expect(recalls).toBeGreaterThan(0);
  });
});

/** What is recalled is what the database would give up to the same place. */
async function expectSame(recalled: NonNullable<ReturnType<RecentChanges['read']>>, position: PostChangePosition) {
  const read: PostChange[] = [];
  let place: PostChangePosition = { ...position, to: recalled.to, afterId: position.afterId ?? 0n };
  for (let complete = false; !complete; ) {
    const batch = await readPostChanges(run, place, [EVERY], LIMITS);
    read.push(...batch.changes);
    place = placeBehind(batch, place);
    complete = batch.complete;
  }
  expect(recalled.changes.map(({ id }) => id)).toEqual(read.map(({ id }) => id));
}

/** As a trigger does: who changes a post has its lock until the end of the transaction. */
async function write(step: Step & { kind: 'write' }, holders: Map<number, number>): Promise<void> {
  if ((holders.get(step.post) ?? step.writer) !== step.writer) return;
  const writer = writers[step.writer] as pg.Client;
  if (![...holders.values()].includes(step.writer)) await writer.query('begin');
  holders.set(step.post, step.writer);
  await writer.query(
    `insert into post_changes (kind, post_id, slug, title, author, tags, create_time, update_time, revision)
     select 'updated', $1, '', '', '', '{}', now(), now(), 1 from generate_series(1, $2::int)`,
    [POSTS[step.post], step.times],
  );
}

async function end(writer: number, how: 'commit' | 'rollback', holders: Map<number, number>): Promise<void> {
  if (![...holders.values()].includes(writer)) return;
  await writers[writer]?.query(how);
  for (const [post, holder] of holders) if (holder === writer) holders.delete(post);
}

async function visible(): Promise<string[]> {
  const { rows } = await client.query<{ id: string }>('select id::text from post_changes');
  return rows.map(({ id }) => id);
}
