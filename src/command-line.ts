import { flushCompileCache } from 'node:module';
import { EXIT, UsageError } from '#src/cli/command.ts';
import { type Config, ConfigError, parseConfig } from '#src/config/config.ts';
import { provideDatabase } from '#src/embedded/provide-database.ts';
import type { LogOutput } from '#src/observability/log-output.ts';
import type { Logger } from '#src/observability/logger.ts';

/** What a command uses of the process. */
export interface ProcessIo {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  /** Aborts when the command must end. */
  readonly signal: AbortSignal;
}

/**
 * Runs one command to its end.
 *
 * @param args the command and its arguments.
 * @returns the exit code: 0 for success, 1 for a failure or a bad setting, 2 for a bad command line, whatever the settings are.
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
    // One line for each problem, and no stack: the set-up is at fault, not the program.
    io.stderr.write(`PostService cannot ${name}: ${error instanceof Error ? describe(error) : String(error)}\n`);
    return error instanceof UsageError ? EXIT.usage : EXIT.failed;
  }
}

/** Each command parses its arguments before the settings, and imports its own code, so that none loads another's. */
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

/** A command whose only argument is --help. */
function withSettingsOnly(name: string, run: (config: Config, io: ProcessIo) => Promise<number>): Command {
  return async (args, io) => {
    if (args.length === 1 && (args[0] === '--help' || args[0] === '-h')) {
      await writeHelp(io);
      return EXIT.ok;
    }
    if (args.length > 0) throw new UsageError(`${name} takes no arguments, only settings: see --help`);
    return run(parseConfig(io.env), io);
  };
}

async function writeHelp(io: ProcessIo): Promise<void> {
  const { helpText } = await import('#src/config/help.ts');
  io.stdout.write(helpText());
}

async function serve(config: Config, io: ProcessIo): Promise<number> {
  const { log, output } = await openLog(config, io);
  // The embedded Postgres starts in its own processes while this one loads the rest of the code.
  const database = provideDatabase(config, log);
  const [{ startServer }] = await Promise.all([import('#src/server.ts'), database]);
  const server = await startServer(config, log, await database, () => output.droppedLines);
  const startupMs = Math.round(performance.now());
  const ready = { event: 'ready', url: server.url, adminUrl: server.adminUrl, startupMs, phases: server.phases };
  log.info(ready, `PostService is ready on ${server.url} (operators: ${server.adminUrl}), after ${startupMs} ms`);
  // Node would write the cache at its exit, which a killed process does not reach.
  flushCompileCache();

  const failure = await Promise.race([aborted(io.signal), uncaught()]);
  if (failure === undefined) log.info({ event: 'stopping', signal: io.signal.reason }, 'stopping');
  else log.fatal({ err: failure }, 'stopping after an uncaught error');
  await server[Symbol.asyncDispose]();
  log.info({ event: 'stopped' }, 'stopped');
  await output.flush();
  return failure === undefined ? 0 : 1;
}

/**
 * Never falls back to the embedded Postgres, which is migrated at each start anyway. Otherwise a deploy that lost its DATABASE_URL
 * would report success without migrating its database.
 */
async function migrate(config: Config, io: ProcessIo): Promise<number> {
  if (config.database.url === undefined) {
    throw new ConfigError([
      'DATABASE_URL: is required to migrate. Without it, serve uses the embedded Postgres and migrates it at each start.',
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

/** Parses the settings only if the command line does not give the URL of the service. */
function withDefaultUrl(io: ProcessIo): ProcessIo & { readonly defaultUrl: string } {
  return {
    ...io,
    get defaultUrl() {
      return urlOf(parseConfig(io.env));
    },
  };
}

/** The URL of a service on this machine with the same settings. */
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

/** Resolves with the first uncaught error. */
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
