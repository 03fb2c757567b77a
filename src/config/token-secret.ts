import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Returns the page token secret of a service without PAGE_TOKEN_SECRET. The first start generates it; it is kept in the data folder,
 * readable only by this user.
 */
export async function loadOrCreateTokenSecret(dataDir: string): Promise<string> {
  const file = join(dataDir, 'page-token-secret');
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  await mkdir(dataDir, { recursive: true });
  const secret = randomBytes(32).toString('base64url');
  await writeFile(file, `${secret}\n`, { mode: 0o600, flag: 'wx' });
  return secret;
}
