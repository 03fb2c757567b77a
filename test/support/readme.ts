import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A fenced block of a Markdown file. */
export interface Snippet {
  readonly language: string;
  /** Whether its info string says `not-run`. */
  readonly isRun: boolean;
  /** Why it is not run, as in `not-run: needs Docker`. */
  readonly reason: string | undefined;
  readonly text: string;
  readonly index: number;
}

/** The checkout's folder. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Where the snippets find the service; tests put their own in its place, and change nothing else. */
export const README_URL = 'http://127.0.0.1:8080';
/** The same for the port for operators. */
export const README_ADMIN_URL = 'http://127.0.0.1:9090';

/** The fenced blocks of a file of the checkout. */
export async function snippetsOf(file: string): Promise<readonly Snippet[]> {
  const markdown = await readFile(join(ROOT, file), 'utf8');
  return [...markdown.matchAll(/^```(\S+)( not-run)?(?:: ([^\n]+))?\n(.*?)^```$/gms)].map(
    ([, language = '', notRun, reason, text = ''], index) => ({
      language,
      isRun: notRun === undefined,
      reason,
      text,
      index,
    }),
  );
}
