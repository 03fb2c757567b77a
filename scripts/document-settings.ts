/** Documents the settings: writes .env.example, and the table in docs/settings.md. Part of `npm run generate`. */

import { readFile, writeFile } from 'node:fs/promises';
import { envExample, settingsTable } from '#src/config/help.ts';

const root = new URL('..', import.meta.url);

await writeFile(new URL('.env.example', root), envExample());

const page = new URL('docs/settings.md', root);
const text = await readFile(page, 'utf8');
await writeFile(
  page,
  text.replace(/(?<=<!-- settings -->\n\n).*?(?=\n<!-- \/settings -->)/s, () => settingsTable()),
);
