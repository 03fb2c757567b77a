import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { provideRunner, RUNNER_VERSION, RunnerMissingError } from './runner.ts';
import { formatSummary, summarize } from './summary.ts';

// `npm run conformance [-- [--fast-path=on|off] [--trace] [PATTERN…]]`: runs the official Connect conformance suite.
// Exits with 0 where all cases passed, 1 where one failed, 2 where it was called wrongly, 3 where it could not be run.
const HERE = import.meta.dirname;
// Each has 10 s to start, and of the runner's four at once, a busy machine starts none in time.
const SERVERS = ['--max-servers', '2'];

process.exitCode = await main();

async function main(): Promise<number> {
  const { values, positionals: patterns } = parseArgs({
    allowPositionals: true,
    options: { 'fast-path': { type: 'string', default: 'on' }, trace: { type: 'boolean', default: false } },
  });
  const fastPath = values['fast-path'];
  if (fastPath !== 'on' && fastPath !== 'off') {
    console.error('--fast-path is on or off');
    return 2;
  }
  try {
    const runner = await provideRunner();
    const log = join(dirname(runner), 'server.log');
    rmSync(log, { force: true });
    const args = ['--mode', 'server', '--conf', join(HERE, 'config.yaml'), '--verbose', ...SERVERS];
    if (values.trace) args.push('--trace');
    for (const pattern of patterns) args.push('--run', pattern);
    args.push('--', process.execPath, join(HERE, 'server.ts'), `--fast-path=${fastPath}`, `--log=${log}`);
    return await run(runner, args, `\nsuite ${RUNNER_VERSION}, fast path ${fastPath}; what the servers logged: ${log}`);
  } catch (error) {
    if (!(error instanceof RunnerMissingError)) throw error;
    console.error(`THE CONFORMANCE SUITE WAS NOT RUN: ${error.message}`);
    return 3;
  }
}

async function run(runner: string, args: readonly string[], heading: string): Promise<number> {
  const child = spawn(runner, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    console.log(line);
  }
  const [exitCode] = (await closed) as [number | null];
  const summary = summarize(lines);
  console.log(`${heading}\n${formatSummary(summary)}`);
  return exitCode === 0 && summary.failed.length === 0 ? 0 : 1;
}
