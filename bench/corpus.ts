import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findPostFiles } from '#src/cli/find-post-files.ts';
import { parsePostFile } from '#src/cli/post-file.ts';
import type { Random } from './random.ts';

/** The parts of real posts that synthetic posts are made of. */
export interface Corpus {
  readonly titles: readonly string[];
  /** Most frequent first. */
  readonly authors: readonly string[];
  /** Most frequent first. */
  readonly tags: readonly string[];
  /** Markdown of very different lengths, most of them between 500 and 5,000 characters. */
  readonly passages: readonly string[];
}

/**
 * Reads a folder of Markdown posts, as `import` does, and skips the files that `import` refuses.
 *
 * It adds authors (names with a number) and tags (words of titles), since the posts have too few.
 *
 * @throws if the folder has no posts.
 */
export async function readCorpus(dir: string, random: Random): Promise<Corpus> {
  const { files } = await findPostFiles(dir);
  const posts = [];
  for (const { path } of files) {
    try {
      posts.push(parsePostFile(await readFile(join(dir, path))));
    } catch {
      // `import` reports what is wrong with it.
    }
  }
  if (posts.length === 0) throw new Error(`${dir} has no Markdown post with front matter`);
  const names = byFrequency(posts.map(post => post.author).filter(Boolean));
  const titleWords = posts.flatMap(post => post.title.toLowerCase().match(/[a-z]{4,}/g) ?? []);
  const words = byFrequency([...posts.flatMap(post => post.tags), ...titleWords]);
  return {
    titles: posts.map(post => post.title),
    authors: Array.from({ length: AUTHORS }, (_, i) => numbered(names, i)),
    tags: Array.from({ length: TAGS }, (_, i) => numbered(words, i)),
    passages: cutPassages(
      posts.map(post => post.content).filter(content => content.length > 200),
      random,
    ),
  };
}

const AUTHORS = 5000;
const TAGS = 2000;
const PASSAGES = 4000;

/** Passages that begin with a paragraph. Their lengths are log-normal, like those of posts. */
function cutPassages(contents: readonly string[], random: Random): string[] {
  return Array.from({ length: PASSAGES }, () => {
    const content = contents[random.below(contents.length)] ?? '';
    const begin = content.indexOf('\n\n', random.below(content.length)) + 1;
    const length = Math.min(20_000, Math.round(1500 * Math.exp(0.8 * random.normal())));
    return content.slice(begin).trimStart().slice(0, length).toWellFormed() || content.slice(0, length).toWellFormed();
  });
}

function byFrequency(values: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a).map(([value]) => value);
}

function numbered(names: readonly string[], i: number): string {
  const name = names[i % names.length] ?? 'anonymous';
  return i < names.length ? name : `${name} ${Math.floor(i / names.length) + 1}`;
}
