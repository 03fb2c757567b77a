import { tookAt } from './figures.ts';
import type { CallRecord } from './ledger.ts';

/** One row's calls over time, for each of who served them. */
export interface Timeline {
  readonly title: string;
  readonly series: Readonly<Record<string, readonly CallRecord[]>>;
}

/**
 * Draws, for each row and each subject, how many calls a second went well (green), were served as stale (yellow) or failed (red). A line
 * shows the 99th percentile of how long they took, logarithmic, from 1 ms to 10 s. The SVG file needs no other file.
 */
export function drawTimelines(timelines: readonly Timeline[]): string {
  const panels = timelines.flatMap(({ title, series }) =>
    Object.entries(series).map(([name, records]) => ({ title: `${title}: ${name}`, records })),
  );
  const parts = panels.map(({ title, records }, n) => {
    const [column, row] = [n % COLUMNS, Math.floor(n / COLUMNS)];
    return `<g transform="translate(${MARGIN + column * (WIDTH + GAP)},${TOP + row * (HEIGHT + GAP)})">${drawPanel(title, records)}</g>`;
  });
  const height = TOP + Math.ceil(panels.length / COLUMNS) * (HEIGHT + GAP);
  const legend = LEGEND.map(
    ([colour, text], n) =>
      `<rect x="${MARGIN + n * 170}" y="14" width="11" height="11" fill="${colour}"/><text x="${MARGIN + 16 + n * 170}" y="24">${text}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${MARGIN * 2 + COLUMNS * WIDTH + GAP} ${height}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="#fff"/>
${legend.join('')}
${parts.join('\n')}
</svg>
`;
}

function drawPanel(title: string, records: readonly CallRecord[]): string {
  const lastMs = Math.max(1000, ...records.map(({ atMs }) => atMs));
  const steps = Math.max(1, Math.ceil(lastMs / STEP_MS));
  const buckets = Array.from({ length: steps }, () => ({ well: 0, stale: 0, failed: 0, calls: [] as CallRecord[] }));
  for (const record of records) {
    const { atMs, code, isStale } = record;
    const bucket = buckets[Math.min(steps - 1, Math.floor(atMs / STEP_MS))];
    if (bucket === undefined) continue;
    if (code !== 'ok') bucket.failed++;
    else if (isStale) bucket.stale++;
    else bucket.well++;
    bucket.calls.push(record);
  }
  const most = Math.max(1, ...buckets.map(({ well, stale, failed }) => well + stale + failed));
  const width = WIDTH / steps;
  const bars = buckets.flatMap(({ well, stale, failed }, n) => {
    let y = HEIGHT;
    return [well, stale, failed].map((count, kind) => {
      const height = (count / most) * (HEIGHT - 20);
      y -= height;
      const colour = LEGEND[kind]?.[0];
      return height === 0
        ? ''
        : `<rect x="${(n * width).toFixed(1)}" y="${y.toFixed(1)}" width="${(width + 0.2).toFixed(1)}" height="${height.toFixed(1)}" fill="${colour}"/>`;
    });
  });
  const line = buckets.map(({ calls }, n) => {
    const y = HEIGHT - (Math.min(4, Math.max(0, Math.log10(tookAt(calls, 0.99)))) / 4) * (HEIGHT - 20);
    return `${((n + 0.5) * width).toFixed(1)},${y.toFixed(1)}`;
  });
  return `<text x="0" y="10" font-weight="bold">${title}</text>${bars.join('')}<polyline points="${line.join(' ')}" fill="none" stroke="${P99_COLOUR}"/><text x="0" y="${HEIGHT + 12}" fill="#666">0 to ${(lastMs / 1000).toFixed(0)} s; ${((most * 1000) / STEP_MS).toFixed(0)} calls a second at most</text>`;
}

const P99_COLOUR = '#1f3a93';
const LEGEND = [
  ['#7bc47f', 'went well'],
  ['#f2c14e', 'served as stale'],
  ['#d64541', 'failed'],
  [P99_COLOUR, 'p99, 1 ms to 10 s, log'],
] as const;
const STEP_MS = 250;
const COLUMNS = 2;
const WIDTH = 420;
const HEIGHT = 130;
const GAP = 26;
const MARGIN = 16;
const TOP = 44;
