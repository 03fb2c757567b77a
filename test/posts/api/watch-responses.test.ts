import { describe, expect, it } from 'vitest';
import { Snapshot } from '#src/db/snapshot.ts';
import { WatchResponses } from '#src/posts/api/watch-responses.ts';
import type { PostChange } from '#src/posts/feed/post-change.ts';
import { ResumeTokens } from '#src/posts/feed/resume-token.ts';

const CHANGE: PostChange = {
  ...{ id: 1n, xid: 7n, kind: 'created', time: new Date(0), digest: '', previous: undefined },
  post: {
    ...{ id: '0', slug: 'a', title: 'A', content: '', author: '', tags: [], etag: '1' },
    ...{ publishTime: undefined, deleteTime: undefined, purgeTime: undefined },
    ...{ createTime: new Date(0), updateTime: new Date(0) },
  },
};
const proof = { id: 1n, digest: '0'.repeat(24), recent: [] };
const place = (text: string) => ({ from: new Snapshot(text), proof });

describe('The responses of watchers', () => {
  it('are one frozen message for all who stand at the same place, so that it is encoded once', () => {
    const responses = new WatchResponses(new ResumeTokens('s'.repeat(32)));
    const first = responses.of({ position: place('8:8:'), change: CHANGE });
    expect(responses.of({ position: place('8:8:'), change: CHANGE })).toBe(first);
    expect(Object.isFrozen(first)).toBe(true);
    const alive = responses.of({ position: place('8:8:'), change: undefined });
    expect(responses.of({ position: place('8:8:'), change: undefined })).toBe(alive);
    expect(alive.change).toBeUndefined();
  });

  it('differ where the places do', () => {
    const tokens = new ResumeTokens('s'.repeat(32));
    const responses = new WatchResponses(tokens);
    for (const change of [CHANGE, undefined]) {
      for (const text of ['8:8:', '9:9:', '8:8:']) {
        const { resumeToken } = responses.of({ position: place(text), change });
        expect(tokens.open(resumeToken).from.text).toBe(text);
      }
    }
  });
});
