import { expect, it } from 'vitest';
import { startTestService } from '#test/support/test-service.ts';

const SCRIPT = '<script>alert("x")</script><img src=x onerror=alert(1)> & ünï';

it('keeps markup in posts as it is, and never serves it as a page', async () => {
  await using service = await startTestService();
  const created = await service.client.createPost({
    post: { title: SCRIPT, content: SCRIPT, author: SCRIPT, slug: 'markup' },
  });
  expect(created.post).toMatchObject({ title: SCRIPT, content: SCRIPT, author: SCRIPT });
  const message = encodeURIComponent('{"slug":"markup"}');
  const rpc = `${service.url}/blog.v1.PostService`;
  const answers = [
    await fetch(`${rpc}/GetPost?connect=v1&encoding=json&message=${message}`, { headers: { accept: 'text/html' } }),
    await fetch(`${rpc}/GetPost?connect=v1&encoding=json&message=${encodeURIComponent(`{"slug":"${SCRIPT}`)}`),
    await fetch(`${service.url}/${encodeURIComponent(SCRIPT)}`, { headers: { accept: 'text/html' } }),
  ];
  for (const answer of answers) {
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
  }
  expect(await answers[0]?.json()).toMatchObject({ post: { title: SCRIPT, content: SCRIPT } });
});
