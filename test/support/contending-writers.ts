import pg from 'pg';

/**
 * Changes posts in transactions of 8 writers at once, which are begun in one order and committed in another; a fifth is rolled back.
 *
 * @param ids five posts; all writers change the last one.
 * @returns how often each post was changed by a transaction that was acknowledged.
 */
export async function changeByContendingWriters(url: string, ids: readonly string[]): Promise<Map<string, number>> {
  const acknowledged = new Map(ids.map(id => [id, 0]));
  await Promise.all(Array.from({ length: 8 }, (_, n) => changeByOne(url, ids, n, acknowledged)));
  return acknowledged;
}

async function changeByOne(url: string, ids: readonly string[], n: number, acknowledged: Map<string, number>) {
  const client = new pg.Client(url);
  await client.connect();
  try {
    for (let i = 0; i < TRANSACTIONS; i++) {
      // Always in the same order, so that no two block each other for ever.
      const changed = [ids[(n + i) % 4] as string, ...(i % 3 === 0 ? [ids[4] as string] : [])];
      await client.query('begin');
      for (const id of changed) {
        await client.query("update posts set title = 'x', revision = revision + 1 where id = $1", [id]);
      }
      if (i % 5 === 0) await client.query('rollback');
      else {
        await client.query('commit');
        for (const id of changed) acknowledged.set(id, (acknowledged.get(id) ?? 0) + 1);
      }
    }
  } finally {
    await client.end();
  }
}

const TRANSACTIONS = 40;
