/**
 * Counts the files and functions of `src` that one GetPost runs, by the precise coverage of V8: a hit, and a miss that reads Postgres.
 * What the service does meanwhile by itself is counted first, for as long, and left out. Also measures how long `src` is.
 *
 *     node scripts/count-call-files.ts [ROOT]
 *
 * A function counts where it has a name: callbacks without one belong to what calls them.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

/** A service that takes free ports and logs JSON. */
const SETTINGS = ['PORT=0', 'ADMIN_PORT=0', 'LOG_FORMAT=json'];
const root = resolve(process.argv[2] ?? join(import.meta.dirname, '..'));
const SRC = pathToFileURL(join(root, 'src/')).href;
/** As long as a call may take; the service's own timers run in both spans. */
const SPAN_MS = 300;

await printSize();
await printCalls();

async function printSize(): Promise<void> {
  const names = (await readdir(join(root, 'src'), { recursive: true })).filter(name => /\.(ts|js)$/.test(name));
  const sizes = await Promise.all(
    names.map(async name => (await readFile(join(root, 'src', name), 'utf8')).split('\n').length - 1),
  );
  const sorted = sizes.toSorted((a, b) => a - b);
  const sum = sizes.reduce((total, size) => total + size, 0);
  console.log(
    `src: ${sum} lines in ${names.length} files; median ${sorted[sorted.length >> 1]}, longest ${sorted.at(-1)}`,
  );
  console.log(`files over 250 lines: ${names.filter((_, n) => (sizes[n] ?? 0) > 250).join(', ') || 'none'}`);
}

async function printCalls(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'call-files-'));
  const child = spawn(
    'env',
    [
      ...SETTINGS,
      `DATA_DIR=${join(folder, 'data')}`,
      process.execPath,
      '--inspect=127.0.0.1:0',
      'src/main.ts',
      'serve',
    ],
    {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const ended = new Promise(done => child.once('exit', done));
  try {
    const inspectorUrl = new Promise<string>(found => {
      createInterface(child.stderr).on('line', line => {
        const [url] = /ws:\/\/\S+/.exec(line) ?? [];
        if (url !== undefined) found(url);
      });
    });
    const serviceUrl = new Promise<string>(found => {
      createInterface(child.stdout).on('line', text => {
        const line = JSON.parse(text);
        if (line.event === 'ready') found(line.url);
      });
    });
    const service = await serviceUrl;
    const { socket, send: inspector } = await connect(await inspectorUrl);
    const [warm, hit, cold] = await Promise.all(['warm', 'hit', 'cold'].map(slug => create(service, slug)));
    // Two calls of each kind first: what runs once, such as the making of a decoder, is no part of a call.
    for (const slug of [warm, warm, hit, hit]) await get(service, slug ?? '');
    await inspector('Profiler.enable');
    await inspector('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
    for (const [kind, slug] of [
      ['hit', hit],
      ['miss', cold],
    ] as const) {
      await inspector('Profiler.takePreciseCoverage');
      await new Promise(done => setTimeout(done, SPAN_MS));
      const alone = functionsOf(await inspector('Profiler.takePreciseCoverage'));
      const called = new Promise(done => setTimeout(done, SPAN_MS));
      await get(service, slug ?? '');
      await called;
      const during = functionsOf(await inspector('Profiler.takePreciseCoverage')).filter(name => !alone.includes(name));
      const files = [...new Set(during.map(name => name.slice(0, name.indexOf(' '))))].toSorted();
      console.log(`GetPost, ${kind}: ${during.length} functions in ${files.length} files`);
      for (const file of files) console.log(`  ${file}`);
    }
    // A process ends only when its debugger has gone.
    socket.close();
  } finally {
    child.kill('SIGTERM');
    await ended;
    await rm(folder, { recursive: true, force: true });
  }
}

type Command = (method: string, params?: object) => Promise<Coverage>;
interface Coverage {
  readonly result: {
    readonly url: string;
    readonly functions: { readonly functionName: string; readonly ranges: { readonly count: number }[] }[];
  }[];
}

async function connect(url: string): Promise<{ readonly socket: WebSocket; readonly send: Command }> {
  const socket = new WebSocket(url);
  await new Promise(open => socket.addEventListener('open', open, { once: true }));
  let last = 0;
  const send: Command = (method, params = {}) =>
    new Promise(answered => {
      const id = ++last;
      const hear = ({ data }: MessageEvent) => {
        const message = JSON.parse(data);
        if (message.id !== id) return;
        socket.removeEventListener('message', hear);
        answered(message.result);
      };
      socket.addEventListener('message', hear);
      socket.send(JSON.stringify({ id, method, params }));
    });
  return { socket, send };
}

function functionsOf({ result }: Coverage): string[] {
  return result
    .filter(({ url }) => url.startsWith(SRC))
    .flatMap(({ url, functions }) =>
      functions
        .filter(({ functionName, ranges }) => functionName !== '' && (ranges[0]?.count ?? 0) > 0)
        .map(({ functionName }) => `${url.slice(SRC.length)} ${functionName}`),
    );
}

async function create(url: string, slug: string): Promise<string> {
  await call(url, 'CreatePost', { post: { slug, title: slug, author: 'ann', content: 'text' } });
  return slug;
}

function get(url: string, slug: string): Promise<void> {
  return call(url, 'GetPost', { slug });
}

async function call(url: string, method: string, message: object): Promise<void> {
  const response = await fetch(`${url}/blog.v1.PostService/${method}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(message),
  });
  if (!response.ok) throw new Error(`${method}: ${response.status} ${await response.text()}`);
  await response.arrayBuffer();
}
