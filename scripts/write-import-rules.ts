/** Writes `biome.rooms.jsonc`: which file of `src` may import which, from the one list of `rooms.ts`. Part of `npm run generate`. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOMS } from './rooms.ts';

const OUTPUT = join(import.meta.dirname, '..', 'biome.rooms.jsonc');

const lines = ROOMS.map((room, floor) => {
  const inner = ROOMS.filter(other => other !== room && other.startsWith(room));
  const includes = [glob(`src/${room}`), ...inner.map(other => `!${glob(`src/${other}`)}`)];
  // Patterns are read as those of .gitignore are: the last one that fits decides, so a folder comes before what is in it.
  const rooms = ROOMS.map((other, place) => ({ pattern: glob(`#src/${other}`), isAllowed: place >= floor }))
    .toSorted((a, b) => a.pattern.length - b.pattern.length)
    .map(({ pattern, isAllowed }) => (isAllowed ? `!${pattern}` : pattern));
  const group = ['#src/**', ...rooms, './**', '../**', 'node:process', 'process'];
  const message = `src/${room} must import through #src/, and only from its own room or one below it in scripts/rooms.ts. Only src/main.ts reads the process.`;
  const options = { patterns: [{ group, message }] };
  return JSON.stringify({
    includes,
    linter: { rules: { style: { noRestrictedImports: { level: 'error', options } } } },
  });
});
writeFileSync(
  OUTPUT,
  `// Generated from scripts/rooms.ts by npm run generate.\n{ "overrides": [\n${lines.join(',\n')}\n] }\n`,
);

/** A folder stands for all that is in it. */
function glob(path: string): string {
  return path.endsWith('/') ? `${path}**` : path;
}
