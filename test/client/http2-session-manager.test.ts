import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const script = fileURLToPath(new URL('goaway-on-idle-connection.ts', import.meta.url));
const run = (manager: string) => promisify(execFile)(process.execPath, [script, manager]);

describe('GuardedHttp2SessionManager', () => {
  it('survives a GOAWAY on an idle connection while the next one opens', async () => {
    await expect(run('guarded')).resolves.toMatchObject({ stdout: 'alive\n' });
  });

  it('is needed: the same ends a process with the manager of connect-node', async () => {
    await expect(run('bare')).rejects.toThrow('received GOAWAY without any open streams');
  });
});
