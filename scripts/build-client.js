/**
 * Builds the client package: compiles `client/src` to `client/dist`, and puts the generated code that it exports beside it.
 *
 * The generated code stays in `gen/`, which the service imports too. `npm pack ./client` runs this file before it packs. It is JavaScript,
 * because the Node that runs npm may not know TypeScript.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const DIST = join(ROOT, 'client/dist');
/** grpc has the services that every server offers: health and reflection. */
const EXPORTED = ['blog', 'google', 'web'];

rmSync(DIST, { recursive: true, force: true });
execFileSync(join(ROOT, 'node_modules/.bin/tsc'), ['-p', 'client'], { cwd: ROOT, stdio: 'inherit' });
for (const name of readdirSync(DIST)) {
  const file = join(DIST, name);
  writeFileSync(
    file,
    readFileSync(file, 'utf8').replaceAll("'../../gen/", "'./gen/").replaceAll('"../../gen/', '"./gen/'),
  );
}
for (const folder of EXPORTED) cpSync(join(ROOT, 'gen', folder), join(DIST, 'gen', folder), { recursive: true });
copyFileSync(join(ROOT, 'LICENSE'), join(ROOT, 'client/LICENSE'));
