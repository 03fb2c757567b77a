import { DatabaseUnavailableError } from '#src/db/errors.ts';
import { HISTORY_NOTE } from '#src/db/history-note.ts';
import { Snapshot } from '#src/db/snapshot.ts';
import { mostRecent, type PlaceProof } from '#src/posts/feed/place-proof.ts';

/** Runs one statement and returns its rows. A statement with a name may be prepared, so a name must always have the same text. */
export type RunStatement = <Row extends object>(
  text: string,
  values: readonly unknown[],
  name?: string,
) => Promise<Row[]>;

/** The end of the feed and its history, all from one snapshot. */
export interface FeedHead {
  /** The snapshot of the statement. It may have ids that a crash takes back. */
  readonly taken: Snapshot;
  /** The snapshot up to the last change, which a crash cannot take back. */
  readonly place: Snapshot;
  readonly proof: PlaceProof;
  /** The proof of the last change, or of its removal. */
  readonly lastXid: bigint;
  /** No change of a transaction after this one has been removed. */
  readonly removed: bigint;
  readonly truncated: bigint | undefined;
  /** Whether a position without a proof may still be of this history. */
  readonly takesOldTokens: boolean;
  readonly life: DatabaseLife;
  /** This reading has found changes of another database, and has begun a new epoch. */
  readonly wasReset: boolean;
}

/** The time in which each transaction id is given out once: from a start of the server to its end. */
export interface DatabaseLife {
  /** The name of the life. The database stores it, so a replica that has it follows this history. */
  readonly name: string;
  /** False: the server does not report a part of it, so another life may have the same name. */
  readonly isWhole: boolean;
  /** Counts promotions; undefined: not reported. */
  readonly timeline: number | undefined;
}

/**
 * The common table expressions of the head, to precede a statement's select. Its one row is `head`. The limits tell Postgres that tables
 * have one row: without statistics, it assumes hundreds.
 */
export const HEAD = `
  mark as materialized (
    select r.*, epoch, takes_old_tokens, ${HISTORY_NOTE} as note, life as known_life, post_changes_life() as life,
      coalesce(h.xmin <> xid(written_by), true) as is_copied
    from post_changes_removed r cross join post_changes_history h limit 1
  ),
  top as materialized (select id, xid, post_id, at from post_changes order by xid desc, id desc limit 1),
  head as materialized (
    select pg_current_snapshot() as taken, pg_is_in_recovery() as is_standby, m.takes_old_tokens,
      m.xid as removed, m.truncate_xid as truncated, m.life::text as life, m.note,
      last.xid as last_xid, last.id as last_id, last.digest,
      array(select c.xid::text from post_changes c order by c.xid desc, c.id desc limit 8) as recent,
      coalesce(last.xid >= pg_snapshot_xmax(pg_current_snapshot()), false)
        or m.is_copied or m.life is distinct from m.known_life as is_unknown
    from mark m left join top t on true cross join lateral (
      select e.* from (values
        (t.xid, t.id, ${digestOf('t.xid', 't.id', 't.post_id', 't.at')}),
        (m.last_xid, m.last_id, ${digestOf('m.last_xid', 'm.last_id', 'm.last_post_id', 'm.last_at')}),
        (m.truncate_xid, 0, ${digest('truncated', 'm.truncate_xid', 'm.truncate_id')}),
        (m.xid, 0, ${digest('removed', 'm.xid')}),
        ('0'::xid8, 0, ${digest('nothing')})
      ) e (xid, id, digest) where e.xid is not null order by e.xid desc, e.id desc limit 1
    ) last
  )`;

/** The columns of `head` to select. */
export const HEAD_COLUMNS = `
  head.taken::text as taken, head.is_standby, head.takes_old_tokens, head.removed::text as removed,
  head.truncated::text as truncated, head.note, head.life, head.last_xid::text as last_xid, head.last_id::text as last_id,
  head.digest, head.recent, head.is_unknown`;

/** Whether a position with this proof is of this history: parameters for its id, its digest, and its recent transactions. */
export function isProved(id: string, digestParameter: string, recent: string): string {
  return `(
    exists (
      select from mark m left join post_changes c on c.id = ${id} where ${digestParameter} in (
        ${digestOf('c.xid', 'c.id', 'c.post_id', 'c.at')},
        ${digestOf('m.last_xid', 'm.last_id', 'm.last_post_id', 'm.last_at')},
        ${digest('truncated', 'm.truncate_xid', 'm.truncate_id')}, ${digest('removed', 'm.xid')}, ${digest('nothing')}
      )
    )
    and not exists (
      select from unnest(${recent}::xid8[]) as x (xid), mark m
      where x.xid > m.xid and not exists (select from post_changes c where c.xid = x.xid)
    )
  )`;
}

/** The row of HEAD_COLUMNS. */
export interface HeadRow {
  readonly taken: string;
  readonly is_standby: boolean;
  readonly takes_old_tokens: boolean;
  readonly removed: string;
  readonly truncated: string | null;
  readonly note: string | null;
  readonly life: string;
  readonly last_xid: string;
  readonly last_id: string;
  readonly digest: string;
  readonly recent: readonly string[];
  /** The database was not adopted in this life, or was copied. */
  readonly is_unknown: boolean;
}

/** The server is a standby, whose snapshots do not have the running transactions of its primary. */
export class StandbyError extends DatabaseUnavailableError {}

/** The end of the feed, where a new watcher begins. @throws what `readWithHead` does. */
export async function readHead(run: RunStatement): Promise<FeedHead> {
  return (await readWithHead(run, `with ${HEAD} select ${HEAD_COLUMNS} from head`, [])).head;
}

/**
 * Runs a statement that begins with HEAD and has at least one row. Returns its rows with the head. It first adopts a database that has
 * another life, or was restored.
 *
 * @throws StandbyError; DatabaseUnavailableError if the database cannot be adopted.
 */
export async function readWithHead<Row extends HeadRow>(
  run: RunStatement,
  text: string,
  values: readonly unknown[],
  name?: string,
): Promise<{ readonly head: FeedHead; readonly rows: readonly Row[] }> {
  let wasReset = false;
  for (let attempt = 0; attempt < ADOPT_ATTEMPTS; attempt++) {
    const rows = await run<Row>(text, values, name);
    const [row] = rows;
    if (row === undefined) throw new Error('post_changes_removed or post_changes_history has lost its row');
    if (row.is_standby) throw new StandbyError('the server is a standby: the change feed needs the primary');
    if (!row.is_unknown) return { head: toHead(row, wasReset), rows };
    const [adopted] = await run<{ done: string }>('select post_changes_adopt() as done', []);
    wasReset ||= adopted?.done === 'reset';
  }
  throw new DatabaseUnavailableError('the database could not be adopted');
}

function toHead(row: HeadRow, wasReset: boolean): FeedHead {
  const taken = new Snapshot(row.taken);
  const lastXid = BigInt(row.last_xid);
  const { timeline, started, reset } = JSON.parse(row.life) as Partial<Record<string, string | null>>;
  return {
    taken,
    place: taken.upTo(lastXid),
    proof: { id: BigInt(row.last_id), digest: row.digest, recent: mostRecent(row.recent.map(BigInt), lastXid) },
    lastXid,
    removed: BigInt(row.removed),
    truncated: row.truncated === null ? undefined : BigInt(row.truncated),
    takesOldTokens: row.takes_old_tokens,
    life: {
      name: row.note ?? '',
      isWhole: timeline != null && started != null && reset != null,
      timeline: timeline == null ? undefined : Number(timeline),
    },
    wasReset,
  };
}

/** The digest of a change by its columns, with `mark` as `m`. */
export function digestOf(xid: string, id: string, postId: string, at: string): string {
  return digest('change', xid, id, postId, `extract(epoch from ${at})`);
}

/** The digest of what was seen last: 96 bits that nobody can choose. */
function digest(kind: string, ...columns: readonly string[]): string {
  const text = ['m.epoch', ...columns].map(column => `(${column})::text`).join(', ');
  return `left(encode(sha256(convert_to(concat_ws(' ', '${kind}', ${text}), 'UTF8')), 'hex'), 24)`;
}

const ADOPT_ATTEMPTS = 3;
