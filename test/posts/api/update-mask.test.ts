import { create } from '@bufbuild/protobuf';
import { FieldMaskSchema } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fieldsToUpdate, toChanges } from '#src/posts/api/update-mask.ts';
import type { AuthoredFields } from '#src/posts/post.ts';

const PATHS = ['slug', 'title', 'content', 'author', 'tags', 'publish_time'];
const OUTPUT_ONLY = ['id', 'create_time', 'update_time', 'delete_time', 'purge_time', 'etag'];
const full: AuthoredFields = {
  slug: 'slug',
  title: 'Title',
  content: 'content',
  author: 'author',
  tags: ['tag'],
  publishTime: new Date(0),
};
const empty: AuthoredFields = { slug: '', title: '', content: '', author: '', tags: [], publishTime: undefined };

const mask = (...paths: string[]) => create(FieldMaskSchema, { paths });

describe('fieldsToUpdate', () => {
  it('takes the fields that the mask names, whatever else it names twice or for output', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...PATHS, ...OUTPUT_ONLY)), paths => {
        const named = paths.filter(path => PATHS.includes(path));
        const fields = [...fieldsToUpdate(mask(...paths), full)];
        expect(fields.sort()).toEqual([...new Set(named.map(p => (p === 'publish_time' ? 'publishTime' : p)))].sort());
      }),
    );
  });

  it('refuses every path that is no field of a post', () => {
    fc.assert(
      fc.property(fc.string(), fc.subarray(PATHS), (path, others) => {
        fc.pre(![...PATHS, ...OUTPUT_ONLY, '*'].includes(path));
        expect(() => fieldsToUpdate(mask(...others, path), full)).toThrow(
          expect.objectContaining({ reason: 'INVALID_UPDATE_MASK' }),
        );
      }),
    );
  });

  it.each(['publish_time.seconds', 'tags[0]', 'publishTime', '__proto__', 'constructor', ''])('refuses %j', path => {
    expect(() => fieldsToUpdate(mask(path), full)).toThrow(/update_mask/);
  });

  it('takes the populated fields where there is no mask', () => {
    fc.assert(
      fc.property(fc.subarray(Object.keys(full) as (keyof AuthoredFields)[]), populated => {
        const content = { ...empty, ...Object.fromEntries(populated.map(name => [name, full[name]])) };
        expect([...fieldsToUpdate(undefined, content)].sort()).toEqual(populated.sort());
      }),
    );
  });

  it('takes none for an empty mask', () => {
    expect(fieldsToUpdate(mask(), full).size).toBe(0);
  });

  it('takes all for *, also those that are not populated', () => {
    expect([...fieldsToUpdate(mask('*'), empty)].sort()).toEqual(Object.keys(full).sort());
  });

  it('refuses * beside other paths', () => {
    expect(() => fieldsToUpdate(mask('*', 'title'), full)).toThrow(/'\*' beside other paths/);
  });
});

describe('toChanges', () => {
  it('clears what is named and not populated', () => {
    const changes = toChanges(mask('content', 'author', 'tags', 'publish_time'), empty);
    expect(changes).toStrictEqual({ content: '', author: '', tags: [], publishTime: undefined });
  });

  it('refuses to clear the title', () => {
    expect(() => toChanges(mask('title'), empty)).toThrow(/post.title/);
  });

  it('clears the slug where the title is there to derive another one from', () => {
    expect(toChanges(mask('slug', 'title'), { ...empty, title: 'New Title' })).toEqual({
      slug: '',
      title: 'New Title',
    });
  });

  it('refuses to clear the slug without a title', () => {
    expect(() => toChanges(mask('slug'), empty)).toThrow(/post.slug/);
  });
});
