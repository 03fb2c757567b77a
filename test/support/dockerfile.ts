/** One stage of a Dockerfile, from one FROM to the next. */
export interface Stage {
  readonly base: string;
  readonly name: string | undefined;
  workdir: string;
  /** COPY and RUN, in order. */
  readonly steps: (CopyStep | RunStep)[];
  readonly env: Record<string, string>;
  /** As USER has it. */
  user: string | undefined;
  healthcheck: readonly string[];
  entrypoint: readonly string[];
  command: readonly string[];
}

export interface CopyStep {
  readonly kind: 'copy';
  /** The stage to copy from; undefined: the build context. */
  readonly from: string | undefined;
  readonly sources: readonly string[];
  readonly target: string;
}

export interface RunStep {
  readonly kind: 'run';
  readonly command: string;
}

/**
 * Reads as much of the Dockerfile format as ours uses.
 *
 * @throws at anything else, so that no step is passed over. It throws also at a HEALTHCHECK, ENTRYPOINT or CMD that is not in exec form: a
 *   shell between Docker and the process would keep signals from it.
 */
export function parseDockerfile(text: string): Stage[] {
  const stages: Stage[] = [];
  const lines = text
    .replaceAll(/^\s*#.*\n/gm, '')
    .replaceAll(/\\\n/g, ' ')
    .split('\n');
  for (const line of lines) {
    if (line.trim() === '') continue;
    const [, instruction = '', rest = ''] = /^(\S+)\s+(.*)$/.exec(line.trim()) ?? [];
    if (instruction === 'FROM') {
      const [base = '', as, name] = rest.split(/\s+/);
      if (as !== undefined && as.toUpperCase() !== 'AS') throw new Error(`not understood: ${line}`);
      const empty = { workdir: '/', steps: [], env: {}, user: undefined, healthcheck: [], entrypoint: [], command: [] };
      stages.push({ base, name, ...empty });
      continue;
    }
    const read = Object.hasOwn(INSTRUCTIONS, instruction) ? INSTRUCTIONS[instruction] : undefined;
    const stage = stages.at(-1);
    if (read === undefined || stage === undefined) throw new Error(`not understood: ${line}`);
    read(stage, rest);
  }
  return stages;
}

const INSTRUCTIONS: Readonly<Record<string, (stage: Stage, rest: string) => void>> = {
  WORKDIR: (stage, rest) => {
    stage.workdir = rest;
  },
  COPY: (stage, rest) => {
    const words = rest.split(/\s+/);
    const from = words[0]?.startsWith('--from=') ? words.shift()?.slice('--from='.length) : undefined;
    const target = words.pop() ?? '';
    if (words.length === 0 || words.some(word => word.startsWith('--')))
      throw new Error(`not understood: COPY ${rest}`);
    stage.steps.push({ kind: 'copy', from, sources: words, target });
  },
  RUN: (stage, command) => {
    if (command.startsWith('--')) throw new Error(`not understood: RUN ${command}`);
    stage.steps.push({ kind: 'run', command });
  },
  ENV: (stage, rest) => {
    for (const pair of rest.split(/\s+/)) {
      const [, name, value] = /^(\w+)=([^"'\\]*)$/.exec(pair) ?? [];
      if (name === undefined || value === undefined) throw new Error(`not understood: ENV ${rest}`);
      stage.env[name] = value;
    }
  },
  EXPOSE: () => {},
  USER: (stage, user) => {
    stage.user = user;
  },
  HEALTHCHECK: (stage, rest) => {
    stage.healthcheck = execForm(rest.replace(/^(--\S+\s+)*CMD\s+/, ''));
  },
  ENTRYPOINT: (stage, rest) => {
    stage.entrypoint = execForm(rest);
  },
  CMD: (stage, rest) => {
    stage.command = execForm(rest);
  },
};

function execForm(text: string): string[] {
  if (!text.startsWith('[')) throw new Error(`not in exec form: ${text}`);
  return JSON.parse(text);
}
