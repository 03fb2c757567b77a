/**
 * `npm run pictures` draws the pictures of the README into docs/pictures.
 *
 * - `first-call.svg` is a terminal. It shows what `npm start` and the first commands of the README really print: the script starts the
 *   service on its default ports, with an empty folder of its own, and runs them. The log's indented details are left out.
 * - `faults.svg` is the beginning of the chart in bench/results, which is too tall for the README.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const ROOT = join(import.meta.dirname, '..');
const PICTURES = join(ROOT, 'docs/pictures');
const COLUMNS = 116;
const CHARACTER_PX = 7.8;
const LINE_PX = 18;
const MARGIN_PX = 16;
const BAR_PX = 32;

await mkdir(PICTURES, { recursive: true });
await writeFile(join(PICTURES, 'first-call.svg'), drawTerminal(await recordFirstCalls()));
await writeFile(join(PICTURES, 'faults.svg'), await cropFaults());

async function recordFirstCalls(): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'postservice-picture-'));
  // biome-ignore lint/style/noProcessEnv: the service runs in the environment of whoever draws the picture.
  const env: NodeJS.ProcessEnv = { ...process.env, DATA_DIR: folder, LOG_FORMAT: 'pretty' };
  env.PATH = [dirname(process.execPath), join(ROOT, 'node_modules/.bin'), env.PATH].join(':');
  // Where root runs this, the embedded Postgres runs as an ordinary user, and must reach the folder.
  await chmod(folder, 0o755);
  // A process group: npm does not pass every signal on.
  const service = spawn('npm', ['start', '--silent'], {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const ended = once(service, 'close');
  try {
    const screen = ['$ npm start'];
    let isReady = false;
    for await (const line of createInterface(service.stdout)) {
      if (line.startsWith('[')) screen.push(line);
      isReady = line.includes('PostService is ready');
      if (isReady) break;
    }
    if (!isReady) throw new Error('npm start ended before the service was ready');
    service.stdout.resume();
    for (const command of await commandsOfReadme()) {
      const { stdout } = await promisify(execFile)('/bin/bash', ['-c', command], { cwd: ROOT, env });
      screen.push('', ...`$ ${command}`.split('\n'), ...stdout.trimEnd().split('\n'));
    }
    return screen;
  } finally {
    if (service.pid !== undefined) process.kill(-service.pid, 'SIGTERM');
    await ended;
    await rm(folder, { recursive: true, force: true });
  }
}

/** Of the first snippet that calls the service. */
async function commandsOfReadme(): Promise<string[]> {
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
  const [, snippet = ''] = /^```sh\n(.*?)^```$/ms.exec(readme) ?? [];
  return snippet.trim().split(/(?<!\\)\n/);
}

function drawTerminal(screen: readonly string[]): string {
  const rows = screen.flatMap(line => wrap(line, COLUMNS).map(text => ({ text, isCommand: isCommand(line) })));
  const [width, height] = [COLUMNS * CHARACTER_PX + 2 * MARGIN_PX, rows.length * LINE_PX + BAR_PX + MARGIN_PX];
  const texts = rows.map(({ text, isCommand }, n) => {
    const y = BAR_PX + (n + 1) * LINE_PX - 4;
    return `<text x="${MARGIN_PX}" y="${y}"${isCommand ? ' class="command"' : ''}>${escapeXml(text)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="ui-monospace,Menlo,Consolas,monospace" font-size="13">
<style>text{fill:#d0d7de;white-space:pre}.command{fill:#7ee787}</style>
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
<circle cx="20" cy="16" r="5" fill="#ff5f56"/><circle cx="38" cy="16" r="5" fill="#ffbd2e"/><circle cx="56" cy="16" r="5" fill="#27c93f"/>
${texts.join('\n')}
</svg>
`;
}

/** Of a command, or of the second line of one. */
function isCommand(line: string): boolean {
  return line.startsWith('$ ') || /^ {2}(-d|-G|http)/.test(line);
}

/** As a terminal does it. */
function wrap(line: string, columns: number): string[] {
  return line.match(new RegExp(`.{1,${columns}}`, 'gu')) ?? [''];
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

/** The legend and the first two rows of panels: Postgres stopped and Postgres frozen, each beside connect-node with pg. */
async function cropFaults(): Promise<string> {
  const chart = await readFile(join(ROOT, 'bench/results/faults.svg'), 'utf8');
  const [head = '', ...lines] = chart.split('\n');
  const panels = lines.filter(line => line.startsWith('<g transform="translate('));
  const topOf = (panel: string | undefined) => Number(/translate\([\d.]+,([\d.]+)\)/.exec(panel ?? '')?.[1]);
  const height = topOf(panels[4]);
  const cropped = head.replace(/(viewBox="0 0 [\d.]+) [\d.]+"/, `$1 ${height}"`);
  return `${[cropped, ...lines.slice(0, lines.indexOf(panels[0] as string)), ...panels.slice(0, 4)].join('\n')}\n</svg>\n`;
}
