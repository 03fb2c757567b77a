import { connect } from 'node:http2';
import { setTimeout as delay } from 'node:timers/promises';
import { create, toBinary } from '@bufbuild/protobuf';
import { type Client, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { PostService, WatchPostsRequestSchema } from '#gen/blog/v1/post_service_pb.js';
import { quartiles } from '../quartiles.ts';
import type { ServiceProcess } from '../service-process.ts';

/** What 200 watchers that do not read cost (R21). */
export interface StalledWatchers {
  readonly streams: number;
  readonly changes: number;
  /** Calls of others that failed while watchers stalled. */
  readonly failed: number;
  /** The service's memory before they came, and what it had more of at most while they were there: in the round in which that was most. */
  readonly rssMiBWithout: number;
  readonly rssMiBMore: number;
  /** Of GetPost by others, in milliseconds: medians over the rounds. */
  readonly p99MsWithout: number;
  readonly p99MsWith: number;
  /** With them, of the mean of the two phases without them of the same round; the median of the rounds. */
  readonly p99Ratio: number;
  /** The second phase without them of the first. */
  readonly p99AaRatio: number;
}

/**
 * Has others call at a constant rate while posts are changed, without watchers and with 200 that take not a byte of what they asked for,
 * by turns.
 */
export async function measureStalledWatchers(service: ServiceProcess, rounds: number): Promise<StalledWatchers> {
  const client = createClient(PostService, createConnectTransport({ baseUrl: service.url, httpVersion: '1.1' }));
  const large = { title: 'x'.repeat(255), tags: Array.from({ length: 32 }, (_, n) => `${n}-`.padEnd(64, 'x')) };
  const ids: string[] = [];
  for (let n = 0; n < 20; n++) {
    const { post } = await client.createPost({ post: { ...large, slug: `watched-${n}` } });
    ids.push(post?.id ?? '');
  }
  await callAtARate(client, ids, 5000);

  const [without, again, stalled] = [[], [], []] as [number[], number[], number[]];
  let [changes, failed] = [0, 0];
  let worst = { rssMiBWithout: 0, rssMiBMore: Number.NEGATIVE_INFINITY };
  for (let round = 0; round < rounds; round++) {
    without.push((await callAtARate(client, ids, PHASE_MS)).p99Ms);
    again.push((await callAtARate(client, ids, PHASE_MS)).p99Ms);
    const rssMiBWithout = await service.rssMiB();
    let rss = rssMiBWithout;
    const look = setInterval(() => {
      void service.rssMiB().then(now => {
        rss = Math.max(rss, now);
      });
    }, 100);
    const end = await openStalledStreams(service.url);
    // Until all of them have got what they take.
    await callAtARate(client, ids, STALL_MS);
    const phase = await callAtARate(client, ids, PHASE_MS);
    clearInterval(look);
    end();
    stalled.push(phase.p99Ms);
    changes += phase.changes;
    failed += phase.failed;
    const rssMiBMore = rss - rssMiBWithout;
    if (rssMiBMore > worst.rssMiBMore) worst = { rssMiBWithout, rssMiBMore };
    const p99s = [without, again, stalled].map(of => of.at(-1)?.toFixed(1)).join(', ');
    console.log(`round ${round + 1}: p99 ${p99s} ms, RSS +${rssMiBMore.toFixed(0)} MiB`);
    await delay(500);
  }
  const median = (values: readonly number[]) => quartiles(values).median;
  return {
    streams: STREAMS,
    changes,
    failed,
    ...worst,
    p99MsWithout: median(without),
    p99MsWith: median(stalled),
    p99Ratio: median(stalled.map((value, n) => (2 * value) / ((without[n] ?? 0) + (again[n] ?? 0)))),
    p99AaRatio: median(again.map((value, n) => value / (without[n] ?? Number.NaN))),
  };
}

const STREAMS = 200;
const PHASE_MS = 10_000;
const STALL_MS = 2000;
const READS_PER_SECOND = 200;
const WRITES_PER_SECOND = 40;

/** Latency counts from when a call was due. */
async function callAtARate(client: Client<typeof PostService>, ids: readonly string[], ms: number) {
  const begin = performance.now();
  const took: number[] = [];
  const calls: Promise<unknown>[] = [];
  const every = Math.round(READS_PER_SECOND / WRITES_PER_SECOND);
  let changes = 0;
  let failed = 0;
  const fail = () => {
    failed++;
  };
  for (let n = 0; (n * 1000) / READS_PER_SECOND < ms; n++) {
    const due = begin + (n * 1000) / READS_PER_SECOND;
    const early = due - performance.now();
    if (early > 0) await delay(early);
    const id = ids[n % ids.length] ?? '';
    const read = client.getPost({ key: { case: 'id', value: id } }).then(() => took.push(performance.now() - due));
    calls.push(read.catch(fail));
    if (n % every !== 0) continue;
    changes++;
    calls.push(client.updatePost({ post: { id, content: String(n) }, updateMask: { paths: ['content'] } }).catch(fail));
  }
  await Promise.all(calls);
  took.sort((a, b) => a - b);
  return { p99Ms: took[Math.floor(took.length * 0.99)] ?? Number.NaN, changes, failed };
}

/** They give the service no window to send in, beyond the first bytes. */
async function openStalledStreams(url: string): Promise<() => void> {
  const message = toBinary(WatchPostsRequestSchema, create(WatchPostsRequestSchema));
  const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]);
  const sessions = Array.from({ length: 4 }, () => connect(url, { settings: { initialWindowSize: 1000 } }));
  for (const session of sessions) {
    session.on('error', () => {});
    for (let n = 0; n < STREAMS / sessions.length; n++) {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/blog.v1.PostService/WatchPosts',
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      stream.on('error', () => {});
      stream.end(frame);
      // Nobody reads it, so it never gives the window back.
      await new Promise(resolve => stream.once('response', resolve));
    }
  }
  return () => {
    for (const session of sessions) session.destroy();
  };
}
