import { markdownTable } from '../results.ts';
import { type CallProfile, PROFILE_MS, WARM_UP_MS } from './profile-calls.ts';
import { WORKLOADS, type WorkloadId } from './workloads.ts';

/** A table for each workload that was profiled: rows are parts of the servers. */
export function profileReport(profiles: readonly CallProfile[], machine: string): string {
  const workloads = [...new Set(profiles.map(({ workload }) => workload))];
  return `# Where the time of a call goes

${machine}

\`npm run bench transport -- --profile\`: V8's sampling profiler (each 0.5 ms) in each server, for ${PROFILE_MS / 1000} s after ${WARM_UP_MS / 1000} s of warm-up; the
time of each function itself, without idle time, by whose code it is, divided by the calls. The profiler costs something itself, so these
are for the share of each part, and the rates are in [transport.md](transport.md).

${workloads.map(workload => workloadSection(workload, profiles)).join('\n')}`;
}

function workloadSection(workload: WorkloadId, profiles: readonly CallProfile[]): string {
  const group = profiles.filter(profile => profile.workload === workload);
  const first = group[0]?.parts ?? {};
  const parts = [...new Set(group.flatMap(profile => Object.keys(profile.parts)))];
  parts.sort((a, b) => (first[b] ?? 0) - (first[a] ?? 0));
  const row = (name: string, of: (profile: CallProfile) => number) => [name, ...group.map(p => of(p).toFixed(1))];
  const all = (profile: CallProfile) => Object.values(profile.parts).reduce((sum, us) => sum + us, 0);
  const table = markdownTable(
    ['microseconds a call', ...group.map(({ name }) => name)],
    [...parts.map(part => row(part, profile => profile.parts[part] ?? 0)), row('all', all)],
  );
  const functions = group.map(
    ({ name, functions: most }) => `- ${name}: ${most.map(([fn, us]) => `${fn} ${us.toFixed(1)}`).join(', ')}`,
  );
  return `## ${WORKLOADS[workload].title}\n\n${table}\n\n${functions.join('\n')}\n`;
}
