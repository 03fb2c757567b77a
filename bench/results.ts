import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where results go, beside the scenarios that made them; committed, so that a change of figures shows in a diff. */
export const RESULTS_DIR = join(import.meta.dirname, 'results');

/** Writes a scenario's results. @param files contents by name, such as `lists.md`; what is no text becomes JSON. */
export async function writeResults(files: Readonly<Record<string, unknown>>): Promise<void> {
  await mkdir(RESULTS_DIR, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    const text = typeof content === 'string' ? content : `${JSON.stringify(content, null, 1)}\n`;
    await writeFile(join(RESULTS_DIR, name), text);
  }
  console.log(`written: ${Object.keys(files).join(', ')}, in ${RESULTS_DIR}`);
}

/** The rows that earlier runs have written to a file, by their ids; none where there is no such file. */
export async function readEarlierRows<Row>(name: string): Promise<Record<string, Row>> {
  try {
    return JSON.parse(await readFile(join(RESULTS_DIR, name), 'utf8')).rows;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
}

/** A Markdown table. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}
