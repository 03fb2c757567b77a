import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { cp, mkdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import type { CopyStep, Stage } from '#test/support/dockerfile.ts';

/**
 * Replays the COPY and RUN steps of a Dockerfile, each stage in a folder of its own that stands for its `/`. Of the base
 * images nothing is there but Node, which is ours: RUN finds the programs of this machine.
 *
 * @param context the folder that the image is built from; what its .dockerignore leaves out can't be copied.
 * @param into an empty folder.
 * @returns the folder of the last stage.
 */
export async function buildImage(stages: readonly Stage[], context: string, into: string): Promise<string> {
  const included = await readIncluded(join(context, '.dockerignore'));
  const folders: string[] = [];
  const folderOf = (name: string) => {
    const index = stages.findIndex(stage => stage.name === name);
    if (folders[index] === undefined) throw new Error(`there is no earlier stage ${name}`);
    return folders[index];
  };
  for (const stage of stages) {
    const root = join(into, `stage-${folders.length}`);
    const workdir = join(root, stage.workdir);
    await mkdir(workdir, { recursive: true });
    for (const step of stage.steps) {
      if (step.kind === 'run') await shell(step.command, workdir, stage.env);
      else if (step.from !== undefined) await copy(step, folderOf(step.from), workdir);
      else {
        const hidden = step.sources.find(source => !included.has(source));
        if (hidden !== undefined) throw new Error(`.dockerignore leaves out ${hidden}`);
        await copy(step, context, workdir);
      }
    }
    folders.push(root);
  }
  const last = folders.at(-1);
  if (last === undefined) throw new Error('there are no stages');
  // A copy, since the user of the image may not be able to reach ours.
  await cp(process.execPath, join(last, NODE), { mode: constants.COPYFILE_FICLONE });
  return last;
}

/** Where Node's base images have it. */
export const NODE = 'usr/local/bin/node';

/** The kilobytes of all files of a folder. */
export async function sizeOf(folder: string): Promise<number> {
  const { stdout } = await promisify(execFile)('du', ['-sk', folder]);
  return Number.parseInt(stdout, 10);
}

/** Docker copies a folder's content, and a file into a folder whose name ends with a slash. */
async function copy({ sources, target }: CopyStep, from: string, workdir: string): Promise<void> {
  for (const source of sources) {
    const path = join(from, source);
    const into = (await stat(path)).isDirectory() || !target.endsWith('/') ? target : join(target, basename(source));
    await cp(path, join(workdir, into), { recursive: true });
  }
}

/** Everything is left out but what is named: the one form of .dockerignore that is understood here. */
async function readIncluded(file: string): Promise<Set<string>> {
  const lines = (await readFile(file, 'utf8')).split('\n').filter(line => line !== '' && !line.startsWith('#'));
  const [first, ...rest] = lines;
  if (first !== '*' || rest.some(line => !/^![\w.-]+$/.test(line)))
    throw new Error(`not understood: ${lines.join(' ')}`);
  return new Set(rest.map(line => line.slice(1)));
}

async function shell(command: string, cwd: string, env: Readonly<Record<string, string>>): Promise<void> {
  // Without what npm and vitest tell the programs that they run, such as where the project is.
  // biome-ignore lint/style/noProcessEnv: npm finds its registry, cache and certificates through it.
  const ours = Object.entries(process.env).filter(([name]) => !TOLD_BY_PARENTS.test(name));
  await promisify(execFile)('/bin/sh', ['-c', `exec ${command}`], {
    cwd,
    env: { ...Object.fromEntries(ours), ...env },
    maxBuffer: 64 * 1024 * 1024,
    // Only what hangs reaches it.
    timeout: 540_000,
  });
}

const TOLD_BY_PARENTS = /^(npm_(?!config_(registry|cache|cafile|.*proxy))|NODE_(ENV|OPTIONS|PATH)$|VITEST|INIT_CWD)/i;
