/** Prints what the client weighs in a browser. Exits with 1 when an app is over its budget. */

import { BROWSER_APPS, bundleForBrowser } from './browser-bundle.ts';

const kilobytes = (bytes: number) => `${(bytes / 1000).toFixed(1)} kB`.padStart(9);

for (const [name, app] of Object.entries(BROWSER_APPS)) {
  const { minified, gzipped } = await bundleForBrowser(app);
  const verdict = gzipped > app.budget ? 'OVER its budget' : 'budget';
  console.log(
    `${name.padEnd(26)} minified ${kilobytes(minified)}  gzipped ${kilobytes(gzipped)}  ${verdict} ${kilobytes(app.budget)}`,
  );
  if (gzipped > app.budget) process.exitCode = 1;
}
