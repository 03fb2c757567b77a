import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { migrateToLatest } from '#src/db/migrations/migrate.ts';
import { type Quartiles, quartiles } from '../quartiles.ts';

/** Inserts a second, by how a change is made known. */
export interface NotifyCost {
  readonly writers: number;
  readonly perSecond: Readonly<Record<Way, Quartiles>>;
}

export type Way = (typeof WAYS)[number];

/**
 * What it costs writers that changes are kept, and that readers are notified of them: single inserts, each a transaction that waits for the
 * disk, by so many connections at once. The ways take turns, a second each.
 *
 * @param url of a Postgres in which databases may be made.
 */
export async function measureNotifyCost(url: string, rounds: number): Promise<NotifyCost[]> {
  await using parts = new AsyncDisposableStack();
  const urls = new Map<Way, string>();
  for (const [n, way] of WAYS.entries()) urls.set(way, await makeDatabase(url, `notify_cost_${n}`, SETUPS[way]));
  // Somebody listens, as each instance does; and announces, as instances do at that rate.
  for (const [way, address] of urls) {
    const listener = parts.adopt(new pg.Client(address), client => client.end());
    await listener.connect();
    await listener.query('listen post_changes');
    if (way !== 'as shipped') continue;
    const ending = new AbortController();
    const announcing = announce(listener, ending.signal);
    parts.defer(async () => {
      ending.abort();
      await announcing;
    });
  }
  const costs: NotifyCost[] = [];
  for (const writers of WRITERS) {
    const rates = new Map<Way, number[]>(WAYS.map(way => [way, []]));
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < WAYS.length; turn++) {
        const way = WAYS[(round + turn) % WAYS.length] as Way;
        rates.get(way)?.push(await insertForASecond(urls.get(way) ?? '', writers));
      }
    }
    const perSecond = Object.fromEntries([...rates].map(([way, values]) => [way, quartiles(values)]));
    costs.push({ writers, perSecond: perSecond as Record<Way, Quartiles> });
    console.log(`${writers} writers: ${WAYS.map(way => `${way} ${perSecond[way]?.median.toFixed(0)}/s`).join(', ')}`);
  }
  return costs;
}

/** The last one is the first again (A/A). */
export const WAYS = ['as shipped', 'NOTIFY in the trigger', 'no feed', 'as shipped again'] as const;

const SETUPS: Record<Way, string> = {
  'as shipped': 'select 1',
  'NOTIFY in the trigger': `
    create function notify_each() returns trigger language plpgsql as $$
      begin perform pg_notify('post_changes', ''); return null; end $$;
    create trigger notify_each after insert on posts for each statement execute function notify_each()`,
  'no feed': 'drop trigger post_changes_add on posts',
  'as shipped again': 'select 1',
};

async function makeDatabase(url: string, name: string, setup: string): Promise<string> {
  const admin = new pg.Client(url);
  await admin.connect();
  await admin.query(`create database ${name}`);
  await admin.end();
  const address = new URL(url);
  address.pathname = name;
  await migrateToLatest(address.href);
  const client = new pg.Client(address.href);
  await client.connect();
  await client.query(setup);
  await client.end();
  return address.href;
}

async function announce(client: pg.Client, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await client.query("select pg_notify('post_changes', '')");
    await delay(10);
  }
}

async function insertForASecond(url: string, writers: number): Promise<number> {
  const clients = await Promise.all(
    Array.from({ length: writers }, async () => {
      const client = new pg.Client(url);
      await client.connect();
      return client;
    }),
  );
  const begin = performance.now();
  let inserts = 0;
  const write = async (client: pg.Client) => {
    while (performance.now() - begin < 1000) {
      const id = randomUUID();
      await client.query({ name: 'insert', text: INSERT, values: [id, `post-${id}`, CONTENT] });
      inserts++;
    }
  };
  await Promise.all(clients.map(write));
  const seconds = (performance.now() - begin) / 1000;
  await Promise.all(clients.map(client => client.end()));
  return inserts / seconds;
}

const WRITERS = [1, 8, 32];
const CONTENT = 'x'.repeat(1000);
const INSERT = `insert into posts (id, slug, title, content, author, tags, create_time, update_time)
  values ($1, $2, 'A title', $3, 'Ada', '{one,two}', now(), now())`;
