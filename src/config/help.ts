import { listSettings } from '#src/config/settings.ts';

/** The output of `--help`: the commands, and every setting with its default. */
export function helpText(): string {
  const settings = listSettings().flatMap(({ name, default: value, meaning }) => [
    `  ${name}${value === '' ? '' : `=${value}`}`,
    ...wrap(meaning, 100).map(line => `      ${line}`),
  ]);
  return `PostService: a posts backend for blogs, over Connect, gRPC and gRPC-Web on one port.

Usage: npx node src/main.ts COMMAND

  serve          Run the service (npm start does the same).
  migrate        Bring the schema of DATABASE_URL up to date, then exit.
  import DIR     Import the Markdown files below DIR into a running service.
  export DIR     Export every post of a running service to DIR, one Markdown file each.

For the options of import and export, add --help. --version prints the version.

Exit code: 0; 1 if something failed or a setting is bad; 2 for a bad command line; 130 if import or export is interrupted.

Settings, from environment variables or a file .env:

${settings.join('\n')}
`;
}

/** The content of .env.example. */
export function envExample(): string {
  const settings = listSettings().flatMap(({ name, default: value, meaning }) => [
    '',
    ...wrap(meaning, 100).map(line => `# ${line}`),
    `# ${name}=${value}`,
  ]);
  return `# The settings of PostService, each with its default. Copy this file to .env, and uncomment what you change.
${settings.join('\n')}
`;
}

/** The settings as a Markdown table, for the documentation. */
export function settingsTable(): string {
  const rows = listSettings().map(({ name, default: value, meaning }) => {
    return `| \`${name}\` | ${value === '' ? '' : `\`${value}\``} | ${meaning} |\n`;
  });
  return `| variable | default | meaning |\n|---|---|---|\n${rows.join('')}`;
}

function wrap(text: string, width: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1) ?? '';
    if (line !== '' && line.length + word.length >= width) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines;
}
