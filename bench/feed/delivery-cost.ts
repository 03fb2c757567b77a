import { readFile } from 'node:fs/promises';
import { connect } from 'node:http2';
import { setTimeout as delay } from 'node:timers/promises';
import { create, toBinary } from '@bufbuild/protobuf';
import pg from 'pg';
import { WatchPostsRequestSchema } from '#gen/blog/v1/post_service_pb.js';
import { openRawWatch } from '../faults/many-watchers.ts';
import { type Quartiles, quartiles } from '../quartiles.ts';
import type { ServiceProcess } from '../service-process.ts';

/** What it costs the service to tell one watcher of one change, by protocol: microseconds of its process. */
export interface DeliveryCost {
  readonly watchers: number;
  readonly changes: number;
  readonly microseconds: Readonly<Record<string, Quartiles>>;
}

/**
 * Has posts changed by hand at a constant rate, without watchers and with so many that read all, by turns. What the process took more of,
 * by the number of deliveries, is the cost of one.
 */
export async function measureDeliveryCost(
  service: ServiceProcess,
  databaseUrl: string,
  rounds: number,
): Promise<DeliveryCost> {
  const client = new pg.Client(databaseUrl);
  await client.connect();
  await client.query(`insert into posts (id, slug, title, content, author, tags, create_time, update_time)
    select gen_random_uuid(), 'delivered-' || n, 'A title of a post', 'x', 'Ada Lovelace', '{one,two}', now(), now() from generate_series(1, 20) n`);
  const costs: Record<string, number[]> = Object.fromEntries(Object.keys(OPEN).map(name => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const [name, open] of Object.entries(OPEN)) {
      const alone = await cpuWhile(service, () => change(client));
      const watchers = await open(service.url);
      const changes = await cpuWhile(service, async () => {
        await change(client);
        while (watchers.told() < WATCHERS * (CHANGES + 1)) await delay(10);
      });
      watchers.end();
      await delay(500);
      // The first round is there to warm up.
      if (round > 0) costs[name]?.push((changes - alone) / (WATCHERS * CHANGES));
    }
    console.log(`round ${round}: ${Object.entries(costs).map(([name, of]) => `${name} ${of.at(-1)?.toFixed(1)} us`)}`);
  }
  await client.end();
  const microseconds = Object.fromEntries(Object.entries(costs).map(([name, of]) => [name, quartiles(of)]));
  return { watchers: WATCHERS, changes: CHANGES, microseconds };
}

interface Watchers {
  /** Responses that have come to all of them. */
  readonly told: () => number;
  readonly end: () => void;
}

const OPEN: Readonly<Record<string, (url: string) => Promise<Watchers>>> = {
  'Connect over HTTP/1.1': async url => {
    const watches = Array.from({ length: WATCHERS }, () => openRawWatch(url));
    await Promise.all(watches.map(({ first }) => first));
    return {
      told: () => watches.reduce((sum, { responses }) => sum + responses, 0),
      end: () => {
        for (const watch of watches) void watch[Symbol.asyncDispose]();
      },
    };
  },
  'gRPC over HTTP/2': openGrpc,
};

/** On four connections. */
async function openGrpc(url: string): Promise<Watchers> {
  const message = toBinary(WatchPostsRequestSchema, create(WatchPostsRequestSchema));
  const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]);
  const sessions = Array.from({ length: 4 }, () => connect(url));
  let told = 0;
  const first: Promise<unknown>[] = [];
  for (const session of sessions) {
    session.on('error', () => {});
    for (let n = 0; n < WATCHERS / sessions.length; n++) {
      const headers = {
        ':path': '/blog.v1.PostService/WatchPosts',
        'content-type': 'application/grpc',
        te: 'trailers',
      };
      const stream = session.request({ ':method': 'POST', ...headers });
      stream.on('error', () => {});
      let received = Buffer.alloc(0);
      first.push(
        new Promise(resolve => {
          stream.on('data', (bytes: Buffer) => {
            received = Buffer.concat([received, bytes]);
            while (received.length >= 5 && received.length >= 5 + received.readUInt32BE(1)) {
              told++;
              received = received.subarray(5 + received.readUInt32BE(1));
              resolve(undefined);
            }
          });
        }),
      );
      stream.end(frame);
    }
  }
  await Promise.all(first);
  return {
    told: () => told,
    end: () => {
      for (const session of sessions) session.destroy();
    },
  };
}

async function change(client: pg.Client): Promise<void> {
  const startedAt = performance.now();
  for (let n = 0; n < CHANGES; n++) {
    await delay(Math.max(0, startedAt + (n * 1000) / CHANGES_PER_SECOND - performance.now()));
    await client.query("update posts set title = $1 where slug = 'delivered-' || $2::int", [
      `Title ${n}`,
      1 + (n % 20),
    ]);
  }
  await delay(200);
}

/** Microseconds that the process has run in user and kernel. Linux only. */
async function cpuWhile(service: ServiceProcess, work: () => Promise<void>): Promise<number> {
  const before = await cpuTicks(service.pid);
  await work();
  return ((await cpuTicks(service.pid)) - before) * (1e6 / TICKS_PER_SECOND);
}

async function cpuTicks(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

const WATCHERS = 200;
const CHANGES = 200;
const CHANGES_PER_SECOND = 50;
const TICKS_PER_SECOND = 100;
