import type { Quartiles } from './quartiles.ts';

/** Horizontal bars in groups. */
export interface BarChart {
  readonly title: string;
  /** Under the title. */
  readonly subtitle: string;
  readonly unit: string;
  /** `log`: each grid line is ten times the one before, for values of very different sizes. */
  readonly scale: 'linear' | 'log';
  /** Names of the bars of each group, in order. */
  readonly series: readonly string[];
  readonly groups: readonly {
    readonly label: string;
    readonly bars: readonly (Quartiles | undefined)[];
    /** Upper limit, drawn as a line across the group. */
    readonly target?: number;
  }[];
}

/** Draws bars up to the median, with a whisker between the quartiles. @returns a self-contained SVG file. */
export function drawBarChart(chart: BarChart): string {
  const groupHeight = chart.series.length * (BAR + 2) + GAP;
  const height = TOP + chart.groups.length * groupHeight + 30;
  const axis = createAxis(chart);
  const parts = [
    text(16, 26, chart.title, 'class="title"'),
    text(16, 44, chart.subtitle, 'class="quiet"'),
    ...chart.series.flatMap((name, i) => [
      rect(16 + i * 190, 56, 11, 11, COLOURS[i] ?? '#000'),
      text(32 + i * 190, 66, name, ''),
    ]),
  ];
  for (const tick of axis.ticks) {
    const x = axis.place(tick);
    parts.push(line(x, TOP - 6, x, height - 26, 'stroke="#e2e2e2"'));
    parts.push(
      text(x, height - 10, `${Number(tick.toPrecision(3))} ${chart.unit}`, 'text-anchor="middle" class="quiet"'),
    );
  }
  for (const [i, group] of chart.groups.entries()) {
    const y = TOP + i * groupHeight;
    parts.push(text(LEFT - 10, y + (groupHeight - GAP) / 2 + 4, group.label, 'text-anchor="end"'));
    for (const [j, bar] of group.bars.entries()) {
      if (bar !== undefined) parts.push(...drawBar(bar, y + j * (BAR + 2), COLOURS[j] ?? '#000', axis, chart.unit));
    }
    if (group.target === undefined) continue;
    const x = axis.place(group.target);
    parts.push(line(x, y - 3, x, y + groupHeight - GAP + 1, 'stroke="#c0392b" stroke-dasharray="3 2"'));
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">
<style>.title{font-size:16px;font-weight:bold}.quiet{fill:#666}</style>
<rect width="100%" height="100%" fill="#fff"/>
${parts.join('\n')}
</svg>
`;
}

const WIDTH = 860;
const LEFT = 190;
const RIGHT = 110;
const TOP = 92;
const BAR = 11;
const GAP = 12;
const COLOURS = ['#4c78a8', '#f58518', '#9a9a9a', '#54a24b'];

function drawBar({ q1, median, q3 }: Quartiles, y: number, colour: string, axis: Axis, unit: string): string[] {
  const middle = y + BAR / 2;
  const label = `${Number(median.toPrecision(3))} ${unit}`;
  return [
    rect(LEFT, y, Math.max(axis.place(median) - LEFT, 1), BAR, colour),
    line(axis.place(q1), middle, axis.place(q3), middle, 'stroke="#222" stroke-width="1.5"'),
    text(axis.place(Math.max(q3, median)) + 6, y + BAR - 1, label, 'class="quiet" font-size="11"'),
  ];
}

function createAxis({ scale, groups }: BarChart): Axis {
  const values = groups.flatMap(({ bars, target = 0 }) => [
    target,
    ...bars.flatMap(bar => (bar ? [bar.q1, bar.q3] : [])),
  ]);
  const max = Math.max(...values);
  const room = WIDTH - LEFT - RIGHT;
  if (scale === 'linear') {
    const step = niceStep(max / 5);
    const ticks = Array.from({ length: Math.floor(max / step) + 1 }, (_, i) => i * step);
    return { ticks, place: value => LEFT + (value / max) * room };
  }
  const first = Math.floor(Math.log10(Math.min(...values.filter(value => value > 0))));
  const last = Math.ceil(Math.log10(max));
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i));
  return { ticks, place: value => LEFT + ((Math.log10(value) - first) / (last - first)) * room };
}

/** The next of 1, 2, 5, 10, 20 … */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5].find(factor => factor * power >= least) ?? 10);
}

function rect(x: number, y: number, width: number, height: number, fill: string): string {
  return `<rect x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${height}" fill="${fill}"/>`;
}

function line(x1: number, y1: number, x2: number, y2: number, attributes: string): string {
  return `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" ${attributes}/>`;
}

function text(x: number, y: number, content: string, attributes: string): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${round(x)}" y="${round(y)}" ${attributes}>${escaped}</text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

interface Axis {
  readonly ticks: readonly number[];
  place(value: number): number;
}
