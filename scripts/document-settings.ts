/** Writes what is documented of the settings: all of .env.example, and the table in the README. */

import { readFile, writeFile } from 'node:fs/promises';
import { envExample, settingsTable } from '#src/config/help.ts';

const root = new URL('..', import.meta.url);

await writeFile(new URL('.env.example', root), envExample());

const readme = new URL('README.md', root);
const text = await readFile(readme, 'utf8');
await writeFile(
  readme,
  text.replace(/(?<=<!-- settings -->\n\n).*?(?=\n<!-- \/settings -->)/s, () => settingsTable()),
);
