import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { access, chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Account, chooseAccount } from '#src/embedded/account.ts';
import { findFreePort } from '#src/embedded/embedded-postgres.ts';
import { type SupervisedProcess, superviseProcess } from '#src/embedded/supervised-process.ts';
import { findFullPostgres } from '#test/support/full-postgres.ts';
import { installedProgram } from '#test/support/installed-program.ts';
import { severalHosts } from '#test/support/several-hosts.ts';
import { signalWithChildren } from '#test/support/signal-with-children.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

/** Three Postgres servers on loopback, managed by Patroni and etcd. */
export interface PatroniCluster extends AsyncDisposable {
  /** It names the three hosts. */
  readonly url: string;
  readonly leader: () => Promise<PatroniNode>;
  /** Resolves when both others follow a leader; in synchronous mode, one of them synchronously. */
  readonly untilHealthy: () => Promise<void>;
  /** `patronictl switchover` to another server. Resolves when it is done. */
  readonly switchover: () => Promise<void>;
}

/** One Postgres, with its Patroni agent. */
export interface PatroniNode {
  readonly name: string;
  readonly url: string;
  /** SIGKILL to both. */
  readonly kill: () => Promise<void>;
  /** Starts the agent again after `kill`. */
  readonly restart: () => void;
  /** SIGSTOP to both. */
  readonly freeze: () => Promise<void>;
  readonly thaw: () => Promise<void>;
}

/**
 * Starts etcd, and Patroni three times, with a new cluster. The times are the shortest that Patroni allows.
 *
 * @throws if Python, etcd, or a Postgres with pg_basebackup and pg_rewind is missing; the message names it.
 */
export async function startPatroni(isSynchronous: boolean): Promise<PatroniCluster> {
  const programs = await findPrograms();
  await using parts = new AsyncDisposableStack();
  const folder = parts.use(await makeTemporaryFolder());
  const account = await chooseAccount(folder.path);
  const [etcdPort, peerPort] = [await findFreePort(), await findFreePort()];
  const etcdFolder = await makeFolder(join(folder.path, 'etcd'), account);
  const client = `http://127.0.0.1:${etcdPort}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  const etcd = superviseProcess(
    [
      ...[programs.etcd, '--data-dir', etcdFolder, '--listen-client-urls', client, '--advertise-client-urls', client],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `default=${peer}`],
    ],
    { account, endSignal: 'TERM', onLine: () => {} },
  );
  parts.defer(() => end(etcd));
  const password = randomBytes(12).toString('hex');
  const nodes: (PatroniNode & { readonly restUrl: string; readonly config: string })[] = [];
  for (const name of ['one', 'two', 'three']) {
    const home = await makeFolder(join(folder.path, name), account);
    const [port, restPort] = [await findFreePort(), await findFreePort()];
    const config = join(home, 'patroni.yml');
    const settings = configOf({
      name,
      home,
      port,
      restPort,
      etcdPort,
      password,
      isSynchronous,
      bin: programs.postgres,
    });
    await writeFile(config, JSON.stringify(settings), { mode: 0o644 });
    const url = `postgres://postservice:${password}@127.0.0.1:${port}/postgres`;
    const { dispose, ...node } = startNode({ name, home, config, account, programs });
    parts.defer(dispose);
    nodes.push({ ...node, name, url, restUrl: `http://127.0.0.1:${restPort}`, config });
  }
  const members = async (): Promise<readonly Member[]> => {
    for (const { restUrl } of nodes) {
      const response = await fetch(`${restUrl}/cluster`, { signal: AbortSignal.timeout(1000) }).catch(() => undefined);
      if (response?.ok) return ((await response.json()) as { members: Member[] }).members;
    }
    return [];
  };
  const leader = async () => {
    for (;;) {
      const name = (await members()).find(({ role, state }) => role === 'leader' && state === 'running')?.name;
      const found = nodes.find(node => node.name === name);
      if (found !== undefined) return found;
      await delay(LOOK_MS);
    }
  };
  const untilHealthy = async () => {
    for (;;) {
      const all = await members();
      const following = all.filter(({ state }) => state === 'streaming');
      const isEnough = !isSynchronous || following.some(({ role }) => role === 'sync_standby');
      const leads = all.some(({ role, state }) => role === 'leader' && state === 'running');
      if (leads && following.length === 2 && isEnough) return;
      await delay(LOOK_MS);
    }
  };
  await untilHealthy();
  const [first, ...others] = nodes.map(({ url }) => url);
  const closing = parts.move();
  return {
    url: severalHosts(first ?? '', ...others),
    leader,
    untilHealthy,
    switchover: async () => {
      const { name, config } = (await leader()) as (typeof nodes)[number];
      const [env = '', ...python] = programs.python;
      const command = [
        ...python,
        programs.patronictl,
        '-c',
        config,
        'switchover',
        '--leader',
        name,
        '--force',
        'posts',
      ];
      await run(env, command);
    },
    [Symbol.asyncDispose]: () => closing.disposeAsync(),
  };
}

function startNode(uses: {
  readonly name: string;
  readonly home: string;
  readonly config: string;
  readonly account: Account | undefined;
  readonly programs: Programs;
}) {
  const { home, config, account, programs } = uses;
  const pidFile = join(home, 'agent.pid');
  const command = ['/bin/sh', '-c', `echo $$ > "$0"; exec "$@"`, pidFile, ...programs.python, '-m', 'patroni', config];
  const start = () => superviseProcess(command, { account, endSignal: 'TERM', onLine: () => {} });
  let agent = start();
  const pidIn = async (file: string) => {
    const text = await readFile(file, 'utf8').catch(() => '');
    return text === '' ? undefined : Number(text.split('\n')[0]);
  };
  const signal = async (name: NodeJS.Signals) => {
    // The agent first, or it would react to the end of its Postgres.
    for (const file of [pidFile, join(home, 'data', 'postmaster.pid')]) {
      const pid = await pidIn(file);
      if (pid !== undefined) await signalWithChildren(pid, name);
    }
  };
  const kill = async () => {
    await signal('SIGKILL');
    await end(agent);
  };
  return {
    kill,
    restart: () => {
      agent = start();
    },
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
    dispose: kill,
  };
}

interface Programs {
  readonly etcd: string;
  /** The command of a Python that has Patroni. */
  readonly python: readonly string[];
  readonly patronictl: string;
  /** The folder of the Postgres programs. */
  readonly postgres: string;
}

async function findPrograms(): Promise<Programs> {
  const etcd = await installedProgram('etcd', { debian: 'etcd-server', brew: 'etcd' });
  const postgres = await findFullPostgres();
  // The system's Python, which another account may run.
  const python = await access('/usr/bin/python3').then(
    () => '/usr/bin/python3',
    () => installedProgram('python3'),
  );
  const packages = join(tmpdir(), 'postservice-patroni-4.1.5');
  await run('python3', ['-m', 'pip', 'install', '--quiet', '--upgrade', '--target', packages, ...PACKAGES]);
  return {
    etcd,
    python: ['/usr/bin/env', `PYTHONPATH=${packages}`, python],
    patronictl: join(packages, 'bin/patronictl'),
    postgres,
  };
}

/** https://patroni.readthedocs.io/en/latest/yaml_configuration.html; JSON is YAML. */
function configOf(node: {
  readonly name: string;
  readonly home: string;
  readonly port: number;
  readonly restPort: number;
  readonly etcdPort: number;
  readonly password: string;
  readonly isSynchronous: boolean;
  readonly bin: string;
}): object {
  const { name, home, port, restPort, etcdPort, password } = node;
  const account = (username: string) => ({ username, password });
  return {
    scope: 'posts',
    name,
    restapi: { listen: `127.0.0.1:${restPort}`, connect_address: `127.0.0.1:${restPort}` },
    etcd3: { host: `127.0.0.1:${etcdPort}` },
    bootstrap: {
      dcs: {
        ttl: 20,
        loop_wait: 2,
        retry_timeout: 3,
        // A leader that crashes is replaced, not restarted.
        primary_start_timeout: 0,
        synchronous_mode: node.isSynchronous,
        postgresql: {
          use_pg_rewind: true,
          use_slots: true,
          parameters: { max_connections: 100, shared_buffers: '64MB' },
        },
      },
      initdb: [{ encoding: 'UTF8' }, { locale: 'C' }, 'data-checksums'],
    },
    postgresql: {
      listen: `127.0.0.1:${port}`,
      connect_address: `127.0.0.1:${port}`,
      data_dir: join(home, 'data'),
      bin_dir: node.bin,
      pgpass: join(home, 'pgpass'),
      authentication: {
        superuser: account('postservice'),
        replication: account('replicator'),
        rewind: account('rewinder'),
      },
      parameters: { unix_socket_directories: home },
      pg_hba: [
        'local all all trust',
        'host all all 127.0.0.1/32 scram-sha-256',
        'host replication all 127.0.0.1/32 scram-sha-256',
      ],
    },
  };
}

interface Member {
  readonly name: string;
  readonly role: string;
  readonly state: string;
}

async function makeFolder(path: string, account: Account | undefined): Promise<string> {
  await mkdir(path, { mode: 0o755 });
  if (account !== undefined) await chown(path, account.uid, account.gid);
  return path;
}

async function end(process: SupervisedProcess): Promise<void> {
  process.signal('KILL');
  await process.ended;
}

const run = promisify(execFile);
const PACKAGES = ['patroni[etcd3]==4.1.5', 'psycopg[binary]==3.3.9'];
const LOOK_MS = 200;
