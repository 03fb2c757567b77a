/** Prints each sentence of a comment or a document that has more words than a reader can hold at once, and exits with 1 then. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const WORDS_MAX = 35;
const ROOT = join(import.meta.dirname, '..');
const PLACES = ['src', 'proto', 'client', 'test', 'bench', 'scripts', 'conformance', 'docs', '*.md', '*.ts'];

const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '--', ...PLACES], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .split('\n')
  .filter(path => existsSync(join(ROOT, path)))
  .filter(path => /\.(ts|proto|md)$/.test(path) && !/(^|\/)(gen|results|fixtures|vendor)\//.test(path));
let found = 0;
for (const path of files) {
  const text = readFileSync(join(ROOT, path), 'utf8');
  for (const sentence of sentencesOf(
    path.endsWith('.md') ? text.replaceAll(/```[\s\S]*?```/g, '') : commentsOf(text),
  )) {
    const words = sentence.split(' ').length;
    if (words <= WORDS_MAX) continue;
    found++;
    console.log(`${path}: ${words} words, of which there may be ${WORDS_MAX}; make it two sentences: ${sentence}`);
  }
}
process.exitCode = found === 0 ? 0 : 1;

/** The texts of its comments, with an empty line between them. */
function commentsOf(source: string): string {
  const blocks = [...source.matchAll(/(?<=^|\s)\/\*\*?([\s\S]*?)\*\//g)].map(([, text = '']) =>
    text.replaceAll(/^\s*\* ?/gm, ''),
  );
  const lines = [...source.matchAll(/^[ \t]*\/\/.*(?:\n[ \t]*\/\/.*)*/gm)].map(([text]) =>
    text.replaceAll(/^[ \t]*\/\/ ?/gm, ''),
  );
  return [...blocks, ...lines].join('\n\n');
}

/** What is code counts as one word. An item of a list, a tag and a cell of a table end a sentence. */
function* sentencesOf(text: string): Generator<string> {
  const parts = text.replaceAll(/`[^`\n]*`/g, 'X').split(/\n\s*\n|\n(?=\s*(?:[-*] |\d+\. |@|#|\|))|\|/);
  for (const part of parts)
    yield* part
      .replaceAll(/\s+/g, ' ')
      .trim()
      .split(/(?<=[.!?]) /);
}
