import type { CompiledQuery } from 'kysely';
import type pg from 'pg';

/** How Postgres ran a query. */
export interface Explained {
  /** As EXPLAIN (ANALYZE, BUFFERS) prints it. */
  readonly text: string;
  /** The indexes that it read. */
  readonly indexes: readonly string[];
  /** Rows that a filter removed after they were read. */
  readonly filtered: number;
  /** Pages of 8 KiB that it touched, in memory or on disk. */
  readonly buffers: number;
  /** Plan nodes that are not a plain index range: sorts of more than a page, bitmap and sequential scans. */
  readonly detours: readonly string[];
}

/** Runs a query once, and explains it. @param pageRows the most rows that one page may need. */
export async function explain(client: pg.Client, query: CompiledQuery, pageRows: number): Promise<Explained> {
  const run = async (format: string) => {
    const sql = `explain (analyze, buffers, format ${format}) ${query.sql}`;
    return (await client.query({ text: sql, values: [...query.parameters], rowMode: 'array' })).rows;
  };
  const text = (await run('text')).map(([line]) => line).join('\n');
  const nodes = flatten((await run('json'))[0]?.[0][0].Plan);
  return {
    text,
    indexes: [...new Set(nodes.flatMap(node => node['Index Name'] ?? []))],
    filtered: sum(nodes.map(node => (node['Rows Removed by Filter'] ?? 0) * node['Actual Loops'])),
    buffers: (nodes[0]?.['Shared Hit Blocks'] ?? 0) + (nodes[0]?.['Shared Read Blocks'] ?? 0),
    detours: nodes.flatMap(node => detourOf(node, pageRows)),
  };
}

function detourOf(node: PlanNode, pageRows: number): string[] {
  const type = node['Node Type'];
  if (/^Bitmap Heap Scan|^Seq Scan/.test(type)) return [type];
  const sorted = sum((node.Plans ?? []).map(child => child['Actual Rows'] * child['Actual Loops']));
  return /Sort$/.test(type) && sorted > pageRows ? [`${type} of ${sorted} rows`] : [];
}

function flatten(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(flatten)];
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Index Name'?: string;
  readonly 'Rows Removed by Filter'?: number;
  readonly 'Shared Hit Blocks'?: number;
  readonly 'Shared Read Blocks'?: number;
  readonly Plans?: readonly PlanNode[];
}
