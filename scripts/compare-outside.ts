/**
 * Compares what others see of two checkouts of the service. That is: the contract, settings with defaults, commands with flags, metrics with
 * labels, the fields of log lines, and the exports of the client package. Prints each difference, and exits with 1 if there is one.
 *
 *     node scripts/compare-outside.ts OLD_ROOT NEW_ROOT
 *
 * Both need their node_modules. Each service starts with an embedded Postgres in a temporary folder.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** A service that takes free ports and logs JSON. */
const SETTINGS = ['PORT=0', 'ADMIN_PORT=0', 'LOG_FORMAT=json'];
const ENDS = /Bucket|_bucket$/;
const COMMANDS = [[], ['serve'], ['migrate'], ['import'], ['export']];

const [oldRoot, newRoot] = process.argv.slice(2);
if (oldRoot === undefined || newRoot === undefined) {
  console.error('Two folders are required: node scripts/compare-outside.ts OLD_ROOT NEW_ROOT');
  process.exit(2);
}
const [was, is] = [await outsideOf(oldRoot), await outsideOf(newRoot)];
let differences = 0;
for (const [part, before] of Object.entries(was)) {
  const after = is[part] ?? [];
  const gone = before.filter(line => !after.includes(line));
  const come = after.filter(line => !before.includes(line));
  differences += gone.length + come.length;
  console.log(`${part}: ${before.length} before, ${after.length} after, ${gone.length} gone, ${come.length} new`);
  for (const line of gone) console.log(`  - ${line}`);
  for (const line of come) console.log(`  + ${line}`);
}
process.exitCode = differences === 0 ? 0 : 1;

async function outsideOf(root: string): Promise<Record<string, string[]>> {
  const service = await scrapeService(root);
  return {
    contract: run(root, 'node_modules/.bin/buf', ['build', 'proto', '--exclude-source-info', '-o', '-#format=json'])
      .split(/(?<=[,{}[\]])/)
      .map((text, index) => `${index} ${text}`),
    settings: (await readFile(join(root, '.env.example'), 'utf8')).match(/^#? ?[A-Z][A-Z_]+=.*$/gm) ?? [],
    'commands and flags': COMMANDS.flatMap(command =>
      names(run(root, process.execPath, ['src/main.ts', ...command, '--help'])).map(name =>
        [...command, name].join(' '),
      ),
    ),
    'metrics and labels': service.metrics,
    'log fields': service.logFields,
    'exports of the client package': await clientExports(root),
  };
}

/** Starts the service, makes calls that end well and badly, and stops it. */
async function scrapeService(root: string): Promise<{ metrics: string[]; logFields: string[] }> {
  const folder = await mkdtemp(join(tmpdir(), 'outside-'));
  const child = spawn(
    'env',
    [...SETTINGS, `DATA_DIR=${join(folder, 'data')}`, process.execPath, 'src/main.ts', 'serve'],
    {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const lines: Record<string, unknown>[] = [];
  try {
    const ready = await new Promise<{ url: string; adminUrl: string }>((resolve, reject) => {
      createInterface(child.stdout).on('line', text => {
        const line = JSON.parse(text);
        lines.push(line);
        if (line.event === 'ready') resolve(line);
      });
      child.once('exit', code => reject(new Error(`the service of ${root} ended with ${code}`)));
    });
    await call(ready.url, 'CreatePost', { post: { title: 'Outside', author: 'ann', content: 'text' } });
    await call(ready.url, 'CreatePost', { post: { title: '' } });
    await call(ready.url, 'GetPost', { slug: 'outside' });
    await call(ready.url, 'GetPost', { slug: 'nothing' });
    await call(ready.url, 'ListPosts', {});
    await fetch(`${ready.url}/nothing`);
    const metrics = await (await fetch(`${ready.adminUrl}/metrics`)).text();
    const samples = metrics.split('\n').filter(line => line !== '' && !line.startsWith('#'));
    return {
      metrics: unique([
        ...samples.map(nameAndLabels).filter(line => !ENDS.test(line)),
        ...metrics.split('\n').filter(line => line.startsWith('# TYPE')),
      ]),
      logFields: unique(lines.flatMap(line => fieldsOf(line).map(field => `${kindOf(line)}: ${field}`))),
    };
  } finally {
    if (child.exitCode === null) {
      const ended = new Promise(resolve => child.once('exit', resolve));
      child.removeAllListeners('exit');
      child.once('exit', () => {});
      child.kill('SIGTERM');
      await Promise.race([ended, new Promise(resolve => setTimeout(resolve, 15_000))]);
    }
    await rm(folder, { recursive: true, force: true });
  }
}

async function call(url: string, method: string, message: unknown): Promise<void> {
  await fetch(`${url}/blog.v1.PostService/${method}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(message),
  });
}

/** Such as `rpc_server_duration_seconds_count{code,procedure}`. */
function nameAndLabels(sample: string): string {
  const [, name = '', labels = ''] = /^(\w+)(?:\{(.*)\})? /.exec(sample) ?? [];
  const labelNames = [...labels.matchAll(/(\w+)="/g)].map(([, label = '']) => label).toSorted();
  return `${name}{${labelNames.join(',')}}`;
}

function kindOf(line: Readonly<Record<string, unknown>>): string {
  if (typeof line.event === 'string') return line.event;
  return 'durationMs' in line ? 'access' : 'other';
}

function fieldsOf(line: Readonly<Record<string, unknown>>): string[] {
  return kindOf(line) === 'other' ? [] : Object.keys(line);
}

/** The commands, the flags and the settings that a help text names. */
function names(help: string): string[] {
  return unique(help.match(/--[a-z][a-z-]+|\b[A-Z][A-Z]+_[A-Z_]+\b|^ {2}[a-z]+(?= )/gm) ?? []);
}

async function clientExports(root: string): Promise<string[]> {
  const home = ['gen/package.json', 'client/package.json'].find(path => {
    const file = join(root, path);
    return existsSync(file) && 'exports' in JSON.parse(execFileSync('cat', [file], { encoding: 'utf8' }));
  });
  if (home === undefined) return [];
  const { name, version, exports } = JSON.parse(await readFile(join(root, home), 'utf8'));
  const found = [`${name} ${version}`];
  for (const [entry, target] of Object.entries<string | Record<string, string>>(exports)) {
    const file = typeof target === 'string' ? target : (target.default ?? target.import ?? '');
    const path = join(root, home, '..', file);
    if (!path.includes('*')) found.push(entry, ...(await exportedNames(root, path)).map(name => `${entry}: ${name}`));
    else {
      const folder = path.slice(0, path.indexOf('*'));
      const files = existsSync(folder) ? await readdir(folder, { recursive: true }) : [];
      found.push(...files.filter(file => file.endsWith('.js')).map(file => `${entry}: ${file}`));
    }
  }
  return found;
}

async function exportedNames(root: string, path: string): Promise<string[]> {
  if (!path.endsWith('.js') || !existsSync(path)) return [];
  const program = `console.log(Object.keys(await import(${JSON.stringify(path)})).join('\\n'))`;
  return run(root, process.execPath, ['--input-type=module', '-e', program]).trim().split('\n');
}

function run(root: string, command: string, args: string[]): string {
  return execFileSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 });
}

function unique(items: readonly string[]): string[] {
  return [...new Set(items)].toSorted();
}
