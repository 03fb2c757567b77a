import { randomUUID } from 'node:crypto';
import pg from 'pg';

/** A read of the hot set or of another post, a create, or the first page of a list. */
export type CallKind = 'hot' | 'cold' | 'write' | 'list';

/** The outcome of one call. */
export interface CallRecord {
  readonly kind: CallKind;
  /** When it was due, in milliseconds since the load began. */
  readonly atMs: number;
  /** Milliseconds from then until its end. */
  readonly tookMs: number;
  /** `ok`, a Connect code, or the error of its connection. */
  readonly code: string;
  readonly isStale: boolean;
}

/** Every write of a load: acknowledged, refused or unknown. It is compared with the database afterwards. */
export class WriteLedger {
  readonly #writes: { readonly slug: string; code: string | undefined }[] = [];
  readonly #run = randomUUID().slice(0, 8);

  /** A write begins. */
  invoke(): { readonly request: object; readonly ended: (record: Pick<CallRecord, 'code'>) => void } {
    const write = { slug: `ledger-${this.#run}-${this.#writes.length}`, code: undefined as string | undefined };
    this.#writes.push(write);
    return {
      request: { post: { title: 'Of the ledger', slug: write.slug, content: CONTENT }, requestId: randomUUID() },
      ended: ({ code }) => {
        write.code = code;
      },
    };
  }

  /** Compares the ledger with the database. */
  async compare(databaseUrl: string): Promise<LedgerResult> {
    const client = new pg.Client(databaseUrl);
    await client.connect();
    const { rows } = await client.query(
      'select slug, count(*)::int as times from posts where slug like $1 group by slug',
      [`ledger-${this.#run}-%`],
    );
    await client.end();
    const times = new Map<string, number>(rows.map(row => [row.slug, row.times]));
    const acknowledged = this.#writes.filter(({ code }) => code === 'ok');
    return {
      invoked: this.#writes.length,
      acknowledged: acknowledged.length,
      lost: acknowledged.filter(({ slug }) => !times.has(slug)).length,
      twice: [...times.values()].filter(count => count > 1).length,
    };
  }
}

export interface LedgerResult {
  readonly invoked: number;
  readonly acknowledged: number;
  /** Acknowledged, but not in the database. */
  readonly lost: number;
  /** In the database more than once. */
  readonly twice: number;
}

const CONTENT = 'x'.repeat(1024);
