import { v7 as uuidv7 } from 'uuid';
import { asciiSlug } from '#src/posts/slug.ts';
import type { Corpus } from './corpus.ts';
import { type Random, ZipfPicker } from './random.ts';

/** A post to load, without its content: that is the passage of this number, in the database already. */
export interface SyntheticPost {
  readonly id: string;
  readonly slug: string;
  readonly title: string;
  readonly passage: number;
  readonly author: string;
  readonly tags: readonly string[];
  readonly publish_time: Date | null;
  readonly create_time: Date;
  readonly update_time: Date;
  readonly delete_time: Date | null;
  readonly revision: number;
}

/**
 * Makes posts as a blog of ten years has them, oldest first. 5 % are drafts, 2 % are soft-deleted, and two in five were edited later. One
 * in ten was imported with an older publish time, and one in twenty was created in the same millisecond as the one before. Of the posts of
 * the last 30 days a third are scheduled.
 */
export function* syntheticPosts(count: number, corpus: Corpus, random: Random): Generator<SyntheticPost> {
  const authors = new ZipfPicker(corpus.authors, random);
  const tags = new ZipfPicker(corpus.tags, random);
  const now = Date.now();
  const step = (10 * 365 * DAY) / count;
  let createTime = 0;
  for (let i = 0; i < count; i++) {
    if (i === 0 || !random.chance(0.05)) createTime = Math.floor(now - (count - i) * step);
    const edited = random.chance(0.4);
    const updateTime = edited ? between(createTime, now, random) : createTime;
    const deleteTime = random.chance(0.02) ? between(updateTime, now, random) : undefined;
    const title = corpus.titles[random.below(corpus.titles.length)] ?? '';
    yield {
      id: uuidv7({ msecs: createTime, seq: i, random: random.bytes(16) }),
      slug: `${asciiSlug(title).slice(0, 190)}-${i}`,
      title: title.slice(0, 255),
      passage: random.below(corpus.passages.length),
      author: authors.next(),
      tags: [...new Set(Array.from({ length: random.below(7) }, () => tags.next()))],
      publish_time: random.chance(0.05) ? null : new Date(publishTime(createTime, now, random)),
      create_time: new Date(createTime),
      update_time: new Date(deleteTime ?? updateTime),
      delete_time: deleteTime === undefined ? null : new Date(deleteTime),
      revision: 1 + Number(edited) + Number(deleteTime !== undefined),
    };
  }
}

const DAY = 86_400_000;

function publishTime(createTime: number, now: number, random: Random): number {
  if (now - createTime < 30 * DAY && random.chance(1 / 3))
    return now + (1 + random.below(90)) * DAY + random.below(DAY);
  if (random.chance(0.1)) return createTime - random.below(5 * 365 * DAY);
  return between(createTime, Math.min(now, createTime + 7 * DAY), random);
}

function between(begin: number, end: number, random: Random): number {
  return begin + Math.floor(random.next() * (end - begin));
}
