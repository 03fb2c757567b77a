import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { expect, it } from 'vitest';
import { startChromium, whyNoChromium } from '#test/support/chromium.ts';
import { ROOT } from '#test/support/readme.ts';
import { selfSigned } from '#test/support/self-signed.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';
import { startTestService } from '#test/support/test-service.ts';

/** One more than the connections that browsers open to an origin. */
const WATCHES = 7;
/** Opens watches, one after the other, and makes a call beside them. */
const PAGE = `
  import { createPostClient } from './client/src/web.ts';
  globalThis.watchAndCall = async url => {
    const posts = createPostClient(url);
    const watches = [];
    for (let i = 0; i < ${WATCHES}; i++) {
      const watch = posts.watchPosts({})[Symbol.asyncIterator]();
      watches.push((await watch.next()).done);
    }
    await posts.listPosts({});
    return watches;
  };`;

it.skipIf(await whyNoChromium())('A page over TLS watches more than six times, and calls beside that', async () => {
  await using parts = new AsyncDisposableStack();
  const folder = parts.use(await makeTemporaryFolder()).path;
  const { cert, key } = selfSigned();
  await Promise.all([writeFile(join(folder, 'cert.pem'), cert), writeFile(join(folder, 'key.pem'), key)]);
  const service = parts.use(
    await startTestService({
      TLS_CERT: join(folder, 'cert.pem'),
      TLS_KEY: join(folder, 'key.pem'),
      CORS_ORIGINS: '*',
    }),
  );
  const { outputFiles } = await build({
    stdin: { contents: PAGE, resolveDir: ROOT },
    bundle: true,
    format: 'iife',
    write: false,
  });
  const browser = parts.use(await startChromium());
  const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
  await page.addScriptTag({ content: outputFiles[0]?.text ?? '' });
  const opened = await page.evaluate(`watchAndCall('${service.url}')`);
  expect(opened).toEqual(Array(WATCHES).fill(false));
});
