import { flushCompileCache } from 'node:module';
import { EXIT, UsageError } from '#src/cli/command.ts';
import { type Config, ConfigError, parseConfig } from '#src/config/config.ts';
import { provideDatabase } from '#src/embedded/provide-database.ts';
import type { LogOutput } from '#src/observability/log-output.ts';
import type { Logger } from '#src/observability/logger.ts';
import { collectStartupGarbage } from '#src/startup/collect-garbage.ts';

/** What a command has to do with the process. */
export interface ProcessIo {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  /** Aborted when the command is to end. */
  readonly signal: AbortSignal;
}

/**
 * Runs one command to its end.
 *
 * @param args the command and what follows it.
 * @returns the exit code: 0 where all went well; 1 where something failed, also for bad settings; 2 for a command line that
 *   makes no sense, whatever the settings are.
 */
export async function runCommand(args: readonly string[], io: ProcessIo): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    await writeHelp(io);
    return name === undefined ? EXIT.usage : EXIT.ok;
  }
  if (name === 'version' || name === '--version' || name === '-v') {
    const { default: packageJson } = await import('#package.json', { with: { type: 'json' } });
    io.stdout.write(`${packageJson.name} ${packageJson.version}\n`);
    return EXIT.ok;
  }
  const command = COMMANDS[name];
  if (command === undefined) {
    io.stderr.write(
      `There is no command '${name}'. Commands: ${Object.keys(COMMANDS).join(', ')}; more with --help.\n`,
    );
    return EXIT.usage;
  }
  try {
    return await command(rest, io);
  } catch (error) {
    // One line for each thing that is wrong, and no stack: these are faults of the set-up, not of the program.
    io.stderr.write(`PostService cannot ${name}: ${error instanceof Error ? describe(error) : String(error)}\n`);
    return error instanceof UsageError ? EXIT.usage : EXIT.failed;
  }
}

/** Each reads its arguments before the settings, and loads what it needs itself, so that none waits for another's code. */
const COMMANDS: Readonly<Record<string, Command>> = Object.assign(Object.create(null), {
  serve: withSettingsOnly('serve', serve),
  migrate: withSettingsOnly('migrate', migrate),
  import: async (args: readonly string[], io: ProcessIo) => {
    const { runImport } = await import('#src/cli/import.ts');
    return runImport(args, withDefaultUrl(io));
  },
  export: async (args: readonly string[], io: ProcessIo) => {
    const { runExport } = await import('#src/cli/export.ts');
    return runExport(args, withDefaultUrl(io));
  },
});

/** A command that takes no arguments but --help. */
function withSettingsOnly(name: string, run: (config: Config, io: ProcessIo) => Promise<number>): Command {
  return async (args, io) => {
    if (args.length === 1 && (args[0] === '--help' || args[0] === '-h')) {
      await writeHelp(io);
      return EXIT.ok;
    }
    if (args.length > 0) throw new UsageError(`${name} takes no arguments, but settings: more with --help`);
    return run(parseConfig(io.env), io);
  };
}

async function writeHelp(io: ProcessIo): Promise<void> {
  const { helpText } = await import('#src/config/help.ts');
  io.stdout.write(helpText());
}

async function serve(config: Config, io: ProcessIo): Promise<number> {
  const { log, output } = await openLog(config, io);
  // The embedded Postgres starts, in processes of its own, while this one loads the rest of the code.
  const database = provideDatabase(config, log);
  const [{ startServer }] = await Promise.all([import('#src/server.ts'), database]);
  const server = await startServer(config, log, await database, () => output.droppedLines);
  const startupMs = Math.round(performance.now());
  const ready = { event: 'ready', url: server.url, adminUrl: server.adminUrl, startupMs, phases: server.phases };
  log.info(ready, `PostService is ready on ${server.url} (operators: ${server.adminUrl}), after ${startupMs} ms`);
  // Before the garbage is collected, and with it the code that only a start runs.
  flushCompileCache();
  collectStartupGarbage();

  const failure = await Promise.race([aborted(io.signal), uncaught()]);
  if (failure === undefined) log.info({ event: 'stopping', signal: io.signal.reason }, 'stopping');
  else log.fatal({ err: failure }, 'stopping after an error that nobody caught');
  await server[Symbol.asyncDispose]();
  log.info({ event: 'stopped' }, 'stopped');
  await output.flush();
  return failure === undefined ? 0 : 1;
}

/**
 * It never falls back to the embedded Postgres, which is migrated at each start: a deploy whose DATABASE_URL got lost would
 * go on as if its database were migrated.
 */
async function migrate(config: Config, io: ProcessIo): Promise<number> {
  if (config.database.url === undefined) {
    throw new ConfigError([
      'DATABASE_URL: is required to migrate. Without it, serve uses the embedded Postgres and migrates that by itself.',
    ]);
  }
  const { migrateToLatest } = await import('#src/db/migrations/migrate.ts');
  const { log, output } = await openLog(config, io);
  const migrations = await migrateToLatest(config.database.url, log);
  log.info({ event: 'migrated', migrations }, migrations.length === 0 ? 'the schema was up to date' : 'migrated');
  await output.flush();
  return 0;
}

async function openLog(config: Config, io: ProcessIo): Promise<{ log: Logger; output: LogOutput }> {
  const [{ createLogger }, { openLogOutput }] = await Promise.all([
    import('#src/observability/logger.ts'),
    import('#src/observability/log-output.ts'),
  ]);
  const format = config.log.format ?? (io.stdout.isTTY ? 'pretty' : 'json');
  const output = openLogOutput();
  const log = await createLogger({ level: config.log.level, format }, output.destination);
  output.reportDropsTo(log);
  return { log, output };
}

/** The settings are read only where the command line does not say where the service is. */
function withDefaultUrl(io: ProcessIo): ProcessIo & { readonly defaultUrl: string } {
  return {
    ...io,
    get defaultUrl() {
      return urlOf(parseConfig(io.env));
    },
  };
}

/** Where the commands that use the API find the service that runs with the same settings. */
function urlOf(config: Config): string {
  const host = ['0.0.0.0', '::', ''].includes(config.listen.host) ? '127.0.0.1' : config.listen.host;
  const scheme = config.tls === undefined ? 'http' : 'https';
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${config.listen.port}`;
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise(resolve => {
    if (signal.aborted) resolve(undefined);
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}

/** The first error that nobody caught. */
function uncaught(): Promise<unknown> {
  return new Promise(resolve => {
    process.on('uncaughtException', error => resolve(error));
  });
}

function describe(error: Error): string {
  if (error instanceof ConfigError) return error.message;
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : '';
  return `${error.message || error.name}${cause}`;
}

type Command = (args: readonly string[], io: ProcessIo) => Promise<number>;
